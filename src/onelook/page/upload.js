// Upload of photos and folders by drop, paste or file chooser, unchanged and one after the other. The server answers
// with the key of the photo or with an error; the frame learns at the end what came of all of them.
// The handlers are on the document because the elements of the page are built later.
const PHOTO = /\.(jpe?g|png|webp|avif|heic|heif|bmp|gif|tiff?|ppm|pgm|jp2)$/i;
const uploads = { queue: [], total: 0, done: 0, outcome: null };

function addFiles(files) {
  const photos = files.filter((file) => file.type.startsWith("image/") || PHOTO.test(file.name));
  // A single file is sent in any case, so that the server says why it is no photo.
  const accepted = files.length === 1 ? files : photos;
  if (!files.length) return;
  const isRunning = uploads.outcome !== null;
  uploads.outcome ??= { keys: [], errors: [], skipped: 0 };
  uploads.outcome.skipped += files.length - accepted.length;
  uploads.queue.push(...accepted);
  uploads.total += accepted.length;
  if (isRunning) return;
  emitEvent("uploads_started", { count: uploads.total });
  sendQueue();
}

async function sendQueue() {
  while (uploads.queue.length) {
    showProgress();
    const photo = uploads.queue.shift();
    const outcome = await sendPhoto(photo);
    (outcome.key ? uploads.outcome.keys : uploads.outcome.errors).push(outcome.key ?? outcome.error);
    uploads.done += 1;
  }
  emitEvent("uploads_ended", uploads.outcome);
  Object.assign(uploads, { queue: [], total: 0, done: 0, outcome: null });
  showProgress();
}

async function sendPhoto(photo) {
  try {
    const path = `/photos?name=${encodeURIComponent(photo.name)}`;
    return await (await fetch(path, { method: "POST", body: photo })).json();
  } catch {
    return { error: `${photo.name}: the upload was interrupted; try again` };
  }
}

function showProgress() {
  const shown = document.querySelector(".progress");
  const [bar, text] = [shown.querySelector("progress"), shown.querySelector(".text")];
  shown.hidden = uploads.outcome === null;
  [bar.max, bar.value] = [Math.max(1, uploads.total), uploads.done];
  shown.classList.toggle("single", uploads.total < 2);
  text.textContent = uploads.total < 2 ? "Identifying …" : `Photo ${uploads.done + 1} of ${uploads.total}`;
}

// The files of dropped folders, with their subfolders, in the order of their names.
async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const files = [];
  for (const entry of entries) await collectFiles(entry, files);
  return files;
}

async function collectFiles(entry, files) {
  if (entry.isFile) {
    const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
    if (file) files.push(file);
    return;
  }
  const [reader, children] = [entry.createReader(), []];
  for (;;) {
    // A reader returns at most a hundred entries at a time.
    const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (!some.length) break;
    children.push(...some);
  }
  children.sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
  for (const child of children) await collectFiles(child, files);
}

function acceptPhotos() {
  const highlight = (isOver) => document.body.classList.toggle("dropping", isOver);
  const handlers = {
    dragover: (event) => {
      event.preventDefault();
      highlight(event.dataTransfer.types.includes("Files"));
    },
    dragleave: (event) => event.relatedTarget ?? highlight(false),
    drop: async (event) => {
      event.preventDefault();
      highlight(false);
      addFiles(await droppedFiles(event.dataTransfer));
    },
    paste: (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (!files.length) return;
      event.preventDefault();
      addFiles(files);
    },
    click: (event) => {
      const pressed = event.target.closest?.(".choose-files, .choose-folder, .stop");
      if (pressed?.matches(".stop")) {
        uploads.total -= uploads.queue.length;
        uploads.queue.length = 0;
      } else if (pressed) {
        document.querySelector(pressed.matches(".choose-folder") ? ".chooser.folder" : ".chooser.files").click();
      }
    },
    change: (event) => {
      if (!event.target.matches?.(".chooser")) return;
      const files = [...event.target.files];
      const path = (file) => file.webkitRelativePath || file.name;
      files.sort((one, other) => path(one).localeCompare(path(other), undefined, { numeric: true }));
      addFiles(files);
      event.target.value = "";
    },
  };
  for (const [kind, handler] of Object.entries(handlers)) document.addEventListener(kind, handler);
}

acceptPhotos();
