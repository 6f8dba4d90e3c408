/** What of an account can be searched. */
export interface SearchableUser {
  readonly fullName: string;
  readonly email: string;
  readonly username: string | null;
}

/** Scripts whose words have no spaces between them: each character stands as a word of its own. */
const unspacedCharacter = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/gu;

/**
 * The form in which texts are compared: compatibility forms unified (NFKC), without regard to case (ß is ss),
 * white space and control characters as single spaces, none at the ends.
 *
 * It is made here and not in SQL, because what a database knows of letters depends on its version and locale.
 */
export function normalizeSearchText(text: string): string {
  return (
    text
      .normalize("NFKC")
      // Upper case first unites letters that have one upper case between them; changing case can undo NFKC.
      .toUpperCase()
      .toLowerCase()
      .normalize("NFKC")
      // Lower case writes a sigma at the end of a word in a form of its own, but a query may end within a word.
      .replaceAll("ς", "σ")
      .replace(unspacedCharacter, " $& ")
      .replace(/[\s\p{Cc}]+/gu, " ")
      .trim()
  );
}

/**
 * The document of a user: name, email and username in their normalised form, each on a line of its own and
 * between two spaces. No query has a line break, so none is found across two fields; what begins a word of the
 * name or a field has a space before it.
 */
export function toSearchDocument(user: SearchableUser): string {
  return [user.fullName, user.email, user.username ?? ""]
    .map((field) => ` ${normalizeSearchText(field)} `)
    .join("\n");
}

/** Patterns for LIKE that a document matches, for one normalised query. */
export interface DocumentPatterns {
  /** The email or the username is the query. */
  readonly identity: string;
  /** A word of the name, the email or the username begins with the query. */
  readonly beginning: string;
  /** The query is somewhere in a field. */
  readonly anywhere: string;
}

/** The patterns of a query that is not empty. Nothing in it is a wildcard. */
export function toDocumentPatterns(query: string): DocumentPatterns {
  const literal = query.replace(/[\\%_]/g, "\\$&");
  return { identity: `%\n ${literal} %`, beginning: `% ${literal}%`, anywhere: `%${literal}%` };
}
