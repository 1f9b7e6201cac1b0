// For the page and the deck: a button that copies a command.
for (const figure of document.querySelectorAll('figure.sh')) {
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'copy';
  button.textContent = 'Copy';
  button.addEventListener('click', async () => {
    const code = figure.querySelector('code');
    try {
      await navigator.clipboard.writeText(code.textContent.trim());
      button.textContent = 'Copied';
    } catch {
      // A browser may refuse this if the page comes from another machine.
      getSelection().selectAllChildren(code);
      button.textContent = 'Selected';
    }
    setTimeout(() => { button.textContent = 'Copy'; }, 1500);
  });
  figure.append(button);
}

const html = document.documentElement;
if ('deck' in html.dataset && !html.classList.contains('on-the-wall')) {
  await import('./colour.js');
}
