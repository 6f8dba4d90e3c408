/**
 * The element of the page that a selector names.
 *
 * @throws where index.html has none of this kind
 */
export function getElement<T extends HTMLElement>(selector: string, kind: new () => T): T {
  const element = document.querySelector(selector);
  if (!(element instanceof kind)) {
    throw new Error(`index.html has no ${kind.name} ${selector}`);
  }
  return element;
}

/** An element with a class and a text, which is never read as HTML. */
export function createElement(tag: string, className: string, text: string): HTMLElement {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

/** Shows the outcome of what a form asked for. */
export function showOutcome(output: HTMLOutputElement, outcome: "good" | "bad" | "none", text: string): void {
  output.dataset["outcome"] = outcome;
  output.textContent = text;
}
