// The worker, as a promise for each request.

function bytesOfBase64(text) {
  return Uint8Array.from(atob(text.trim()), (character) => character.charCodeAt(0));
}

// A worker from a Blob: a page that was opened from a disk may not load another file.
const worker = new Worker(URL.createObjectURL(new Blob([document.getElementById("worker").textContent], { type: "text/javascript" })));
const pending = new Map();
let lastRequest = 0;

worker.onmessage = ({ data: { id, result, error } }) => {
  const { resolve, reject } = pending.get(id);
  pending.delete(id);
  if (error) reject(Object.assign(new Error(error.message), { name: error.name }));
  else resolve(result);
};
worker.onerror = (event) => {
  event.preventDefault();
  for (const { reject } of pending.values()) reject(new Error(event.message || "the worker ended"));
  pending.clear();
};

function ask(type, request = {}, transfer = []) {
  const id = ++lastRequest;
  return new Promise((resolve, reject) => {
    pending.set(id, { resolve, reject });
    worker.postMessage({ id, type, ...request }, transfer);
  });
}
