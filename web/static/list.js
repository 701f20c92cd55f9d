// A long list in few elements: rows of one height are recycled and filled once per animation frame.
//
// The list knows nothing of what it shows: `make` builds an empty row, `fill` writes item `index` into it.

import { nextFrame } from "./use.js";

const OVERSCAN = 6; // rows beyond each edge, so that a quick wheel shows no blank before the next frame

export class RowList {
  /** @param {HTMLElement} viewport what scrolls @param {{make: () => HTMLElement, fill: (row: HTMLElement, index: number) => void, scrolled?: () => void}} parts */
  constructor(viewport, parts) {
    this.viewport = viewport;
    this.parts = parts;
    this.count = 0;
    this.spacer = document.createElement("div");
    this.spacer.className = "list-spacer";
    viewport.append(this.spacer);
    /** @type {HTMLElement[]} */
    this.rows = [];
    this.draw = this.draw.bind(this);
    this.onScroll = () => {
      parts.scrolled?.();
      nextFrame(this.draw);
    };
    viewport.addEventListener("scroll", this.onScroll, { passive: true });
    this.resize = new ResizeObserver(() => this.measure());
    this.resize.observe(viewport);
    this.measure();
  }

  /** The row's height is the style sheet's: it differs on a phone. */
  measure() {
    this.rowHeight = parseFloat(getComputedStyle(this.viewport).getPropertyValue("--row")) || 28;
    this.height = this.viewport.clientHeight;
    nextFrame(this.draw);
  }

  update(count) {
    this.count = count;
    nextFrame(this.draw);
  }

  draw() {
    this.spacer.style.height = `${this.count * this.rowHeight}px`;
    const first = Math.max(0, Math.floor(this.viewport.scrollTop / this.rowHeight) - OVERSCAN);
    const wanted = Math.min(this.count - first, Math.ceil(this.height / this.rowHeight) + 2 * OVERSCAN);
    while (this.rows.length < wanted) {
      const row = this.parts.make();
      this.spacer.append(row);
      this.rows.push(row);
    }
    this.rows.forEach((row, slot) => {
      row.hidden = slot >= wanted;
      if (row.hidden) return;
      row.style.transform = `translateY(${(first + slot) * this.rowHeight}px)`;
      this.parts.fill(row, first + slot);
    });
  }

  /** Bring an item into sight, moving no more than needed. */
  reveal(index) {
    const top = index * this.rowHeight;
    if (top < this.viewport.scrollTop) this.viewport.scrollTop = top;
    else if (top + this.rowHeight > this.viewport.scrollTop + this.height) {
      this.viewport.scrollTop = top + this.rowHeight - this.height;
    }
  }

  close() {
    this.resize.disconnect();
    this.viewport.removeEventListener("scroll", this.onScroll);
    this.spacer.remove();
  }
}
