/** What can be in one {@link LinkedList}. */
export interface Linked<Node> {
  previous: Node | undefined;
  next: Node | undefined;
}

/** A list of what can be in one list at a time: to add and to remove something takes the same time however long it is. */
export class LinkedList<Node extends Linked<Node>> {
  first: Node | undefined;
  last: Node | undefined;
  size = 0;

  /** Adds what is in no list, at the end. */
  push(node: Node): void {
    node.previous = this.last;
    if (this.last === undefined) this.first = node;
    else this.last.next = node;
    this.last = node;
    this.size += 1;
  }

  /** Removes what is in this list. */
  remove(node: Node): void {
    const { previous, next } = node;
    if (previous === undefined) this.first = next;
    else previous.next = next;
    if (next === undefined) this.last = previous;
    else next.previous = previous;
    node.previous = undefined;
    node.next = undefined;
    this.size -= 1;
  }
}
