// Links the box of a face on the photo with its row in the list: what is under the pointer or has the focus is
// highlighted in both, and a click on a box leads to the row. Elements of one face have the same data-face.
const elementsOf = (face) => document.querySelectorAll(`[data-face="${CSS.escape(face)}"]`);

function highlightFace(target) {
  document.querySelectorAll(".linked").forEach((element) => element.classList.remove("linked"));
  const face = target?.closest?.("[data-face]")?.dataset.face;
  if (face) elementsOf(face).forEach((element) => element.classList.add("linked"));
}

function openRow(box) {
  const row = [...elementsOf(box.dataset.face)].find((element) => !element.matches(".box"));
  if (!row) return;
  const collapsed = row.closest("details");
  if (collapsed) collapsed.open = true;
  const input = row.querySelector("input:not([type=hidden]):not([disabled])") ?? row.querySelector("a, button");
  if (input?.type === "radio") input.checked = true;
  input?.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest", behavior: "smooth" });
  highlightFace(row);
}

function linkFaces() {
  // The face that the focused field names: its own, or the one that is chosen in the same form.
  const focused = () => {
    const element = document.activeElement;
    return element?.closest?.("[data-face]") ?? element?.closest?.("form")?.querySelector("[type=radio]:checked");
  };
  document.addEventListener("pointerover", (event) => highlightFace(event.target.closest?.("[data-face]") ?? focused()));
  document.addEventListener("focusin", () => highlightFace(focused()));
  document.addEventListener("change", () => highlightFace(focused()));
  document.addEventListener("click", (event) => {
    const box = event.target.closest?.(".box");
    if (box) openRow(box);
  });
  document.addEventListener("keydown", (event) => {
    const direction = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
    if (direction && !event.target.matches("input")) document.querySelector(`.neighbors [rel=${direction}]`)?.click();
  });
}

// After a name was given, the list is drawn again. The field that took the place of the submitted one gets the focus,
// so that faces can be named one after the other from the keyboard.
let submittedForm = -1;

const nameFields = () => [...document.querySelectorAll(".page form input[type=text]")];

function rememberForm(form) {
  submittedForm = nameFields().findIndex((field) => form.contains(field));
}

function focusNextForm() {
  const fields = nameFields();
  if (submittedForm >= 0) fields[Math.min(submittedForm, fields.length - 1)]?.focus();
  submittedForm = -1;
}

linkFaces();
