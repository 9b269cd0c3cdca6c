// Which lines are not shown, because they are folded or filtered away. What is
// left are rows, counted from 0.
export class Hidden {
  #from = []; // ranges that neither touch nor overlap, in order
  #to = [];
  #before = [0]; // lines hidden before the i-th range

  // ranges are [from, to] in the order of their beginnings; those within others are allowed.
  constructor(ranges = []) {
    for (const [from, to] of ranges) {
      const last = this.#to.length - 1;
      if (from > to) continue;
      if (last >= 0 && from <= this.#to[last] + 1) this.#to[last] = Math.max(this.#to[last], to);
      else {
        this.#from.push(from);
        this.#to.push(to);
      }
    }
    this.#from.forEach((from, i) => { this.#before.push(this.#before[i] + this.#to[i] - from + 1); });
  }

  // at is the number of ranges that begin at or before a line.
  #at(line) {
    let low = 0, high = this.#from.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#from[middle] <= line) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // range is the hidden one that holds a line, or undefined.
  range(line) {
    const i = this.#at(line) - 1;
    return i >= 0 && line <= this.#to[i] ? [this.#from[i], this.#to[i]] : undefined;
  }

  // next and previous are the nearest lines shown, from the given one on; previous
  // is 0 if there is none.
  next(line) {
    const range = this.range(line);
    return range ? range[1] + 1 : line;
  }

  previous(line) {
    const range = this.range(line);
    return range ? range[0] - 1 : line;
  }

  // row is the number of lines shown before a line.
  row(line) {
    const i = this.#at(line - 1);
    return line - 1 - this.#before[i] + (i > 0 && this.#to[i - 1] >= line ? this.#to[i - 1] - line + 1 : 0);
  }

  // line is that of a row.
  line(row) {
    let low = 0, high = this.#from.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#from[middle] - 1 - this.#before[middle] <= row) low = middle + 1;
      else high = middle;
    }
    return row + 1 + this.#before[low];
  }

  ranges() {
    return this.#from.map((from, i) => [from, this.#to[i]]);
  }
}
