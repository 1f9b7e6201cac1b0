// Starts the deck. Static imports load faster here than one import after the other.
import Reveal from '../node_modules/reveal.js/dist/reveal.mjs';
import Notes from '../node_modules/reveal.js/dist/plugin/notes.mjs';
import './colour.js';
import './page.js';

const deck = new Reveal({
  width: 1280,
  height: 720,
  margin: 0,
  center: false,
  controls: false,
  hash: true,
  slideNumber: 'c/t',
  transition: 'none',
  backgroundTransition: 'none',
  // Each slide says how long it takes; the speaker's window counts it down.
  defaultTiming: 60,
  plugins: [Notes],
});
await deck.initialize();
// For tests and scripts.
window.deck = deck;
