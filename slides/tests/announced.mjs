/** Waits for the address that a program prints. */
export function announced(child, program) {
  return new Promise((found, failed) => {
    let said = '';
    child.stdout.on('data', (part) => {
      said += part;
      const url = said.match(/http:\S+/)?.[0];
      if (url) found(url);
    });
    child.on('exit', () => failed(new Error(`${program} says: ${said}`)));
  });
}
