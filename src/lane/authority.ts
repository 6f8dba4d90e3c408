/** Callers choose the text; without a bound, they would choose how much is remembered. */
const rememberedAuthorities = 64;
const remembered = new Set<string>();

/** Whether a Host or :authority makes a URL, as what handlers and interceptors may read. */
export function isAuthority(text: string | undefined): boolean {
  if (text === undefined || text === "") return false;
  if (remembered.has(text)) return true;
  if (!URL.canParse(`http://${text}`)) return false;
  if (remembered.size < rememberedAuthorities) remembered.add(text);
  return true;
}
