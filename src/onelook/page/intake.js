// Photos reach the page by drop, paste or choice, and go to the server as they are; what goes wrong is said by the server.
// The handlers sit on the document, so that they need not wait for the page to be built.
function takePhotos(client) {
  const send = (files) => {
    const photo = files?.[0];
    if (!photo) return false;
    const name = encodeURIComponent(photo.name);
    fetch(`/photos/${client}?name=${name}`, { method: "POST", body: photo }).catch(() => {});
    return true;
  };
  const mark = (over) => document.querySelector(".drop")?.classList.toggle("over", over);
  const choose = () => document.querySelector(".chooser").click();
  const handlers = {
    dragover: (event) => {
      event.preventDefault();
      mark(true);
    },
    dragleave: (event) => event.relatedTarget ?? mark(false),
    drop: (event) => {
      event.preventDefault();
      mark(false);
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
