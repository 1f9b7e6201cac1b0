// Runs before the first paint: a large screen gets the deck, all others the page.
{
  const html = document.documentElement;
  const asked = new URLSearchParams(location.search);
  const wall = matchMedia('(min-width: 800px) and (min-height: 450px)').matches;
  // The speaker's window shows two small decks, each with `receiver` in its address.
  const wanted = wall || asked.has('deck') || asked.has('receiver');
  // Browsers load no modules from the disk, and the page needs none.
  const served = location.protocol !== 'file:';
  const able = 'deck' in html.dataset && served;
  const deck = able && wanted && !asked.has('page');

  const add = (parent, name, attributes) => {
    parent.prepend(Object.assign(document.createElement(name), attributes));
  };
  if (deck) {
    html.classList.add('on-the-wall');
    document.getElementById('page').media = 'not all';
    document.getElementById('wall').media = 'all';
    const npm = 'slides/node_modules/';
    add(document.head, 'link', {
      rel: 'stylesheet',
      href: `${npm}reveal.js/dist/reveal.css`,
    });
    // Preloaded, the files arrive while the browser parses the page.
    for (const file of [
      'reveal.js/dist/reveal.mjs',
      'reveal.js/dist/plugin/notes.mjs',
      '@highlightjs/cdn-assets/es/core.min.js',
      '@highlightjs/cdn-assets/es/languages/bash.min.js',
      '@highlightjs/cdn-assets/es/languages/rust.min.js',
    ]) {
      add(document.head, 'link', { rel: 'modulepreload', href: npm + file });
    }
  }
  add(document.head, 'script', {
    type: 'module',
    src: `slides/look/${deck ? 'deck' : 'page'}.js`,
  });
}
