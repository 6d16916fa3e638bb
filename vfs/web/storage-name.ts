/** The name of the local state of a volume that was opened by the address of its store, the same in every tab and on every visit. */

/** Longer ones are cut, and told apart by their hash. Storages take names of up to 200 characters. */
const LENGTH_MAX = 160;

/** @param tag or id of the volume */
export function storageNameFor(url: string, tag: string): string {
  const text = `${new URL(url).host}${new URL(url).pathname.replace(/\/+$/, "")}/${tag}${new URL(url).search}`;
  // Every other character as its code, so that two addresses never become one name.
  const name = text.replace(/[^A-Za-z0-9.-]/g, (character) => `_${character.codePointAt(0)?.toString(16)}_`);
  const begin = /^[A-Za-z0-9]/.test(name) ? name : `x${name}`;
  return begin.length <= LENGTH_MAX ? begin : `${begin.slice(0, LENGTH_MAX)}-${hashOf(text)}`;
}

/** 53 bits of the text, after cyrb53 by bryc (public domain): there is no cryptography outside of secure contexts, and nobody to deceive. */
function hashOf(text: string): string {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    a = Math.imul(a ^ unit, 2654435761);
    b = Math.imul(b ^ unit, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return (4294967296 * (2097151 & b) + (a >>> 0)).toString(36);
}
