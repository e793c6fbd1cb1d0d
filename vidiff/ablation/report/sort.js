// Tables of class "sorted": headings with data-sort are buttons. Largest first, then smallest;
// what is not known (data-by="") stays at the end.
for (const table of document.querySelectorAll("table.sorted")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (!("sort" in head.dataset)) return;
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const falls = head.ariaSort !== "descending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.ariaSort = falls ? "descending" : "ascending";
      const key = row => row.cells[column].dataset.by ?? row.cells[column].textContent.trim();
      const compare = (a, b) => isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
      body.append(...[...body.rows].sort((one, other) => {
        const [a, b] = [key(one), key(other)];
        if (!a || !b) return !a - !b;
        return falls ? compare(b, a) : compare(a, b);
      }));
    });
  });
}
