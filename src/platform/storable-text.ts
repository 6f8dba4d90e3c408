/** Whether the database can store a text: PostgreSQL's holds every character but U+0000, and no halves of characters. */
export function isStorableText(text: string): boolean {
  return text.isWellFormed() && !text.includes("\0");
}
