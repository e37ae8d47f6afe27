// Upload of photos by drop, paste or file chooser, unchanged; the server shows what went wrong as a message on the page.
// The handlers are on the document because the elements of the page are built later.
function acceptPhotos() {
  const send = (files) => {
    const photo = files?.[0];
    if (!photo) return false;
    emitEvent("upload_started");
    fetch(`/photos?name=${encodeURIComponent(photo.name)}`, { method: "POST", body: photo })
      .then((response) => response.json())
      .catch(() => ({ error: `${photo.name}: the upload was interrupted` }))
      .then((outcome) => emitEvent("upload_ended", outcome));
    return true;
  };
  const highlight = (isOver) => document.querySelector(".drop")?.classList.toggle("over", isOver);
  const choose = () => document.querySelector(".chooser").click();
  const handlers = {
    dragover: (event) => {
      event.preventDefault();
      highlight(true);
    },
    dragleave: (event) => event.relatedTarget ?? highlight(false),
    drop: (event) => {
      event.preventDefault();
      highlight(false);
      send(event.dataTransfer.files);
    },
    paste: (event) => send(event.clipboardData.files) && event.preventDefault(),
    click: (event) => event.target.closest?.(".drop") && choose(),
    keydown: (event) => event.target.matches?.(".drop") && ["Enter", " "].includes(event.key) && choose(),
    change: (event) => {
      if (!event.target.matches?.(".chooser")) return;
      send(event.target.files);
      event.target.value = "";
    },
  };
  for (const [kind, handler] of Object.entries(handlers)) document.addEventListener(kind, handler);
}
