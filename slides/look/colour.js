// Colours Rust and commands. Without npm, this file is not loaded.
import hljs from '../node_modules/@highlightjs/cdn-assets/es/core.min.js';
import bash from '../node_modules/@highlightjs/cdn-assets/es/languages/bash.min.js';
import rust from '../node_modules/@highlightjs/cdn-assets/es/languages/rust.min.js';

hljs.registerLanguage('bash', bash);
hljs.registerLanguage('rust', rust);
for (const code of document.querySelectorAll('code.language-rust')) {
  hljs.highlightElement(code);
}
