// From files and videos to pixels, and from pixels to canvases.

const decodeOptions = { imageOrientation: "from-image", premultiplyAlpha: "none", colorSpaceConversion: "none" };

// RGBA of a picture file, upright and as its numbers are, without conversion between colour spaces.
async function decode(blob) {
  const bitmap = await createImageBitmap(blob, decodeOptions);
  try {
    return pixelsOf(bitmap, bitmap.width, bitmap.height);
  } finally {
    bitmap.close();
  }
}

function pixelsOf(source, width, height) {
  return exactPixels(source, width, height) ?? canvasPixels(source, width, height);
}

// By way of a texture: a canvas stores colours multiplied by their opacity, and so loses bits of colours that are not
// opaque. Undefined where there is no WebGL or the picture is too large for it.
function exactPixels(source, width, height) {
  if (!(source instanceof ImageBitmap)) return undefined;
  const gl = document.createElement("canvas").getContext("webgl", { premultipliedAlpha: false });
  if (!gl || Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return undefined;
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, source);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, gl.getParameter(gl.TEXTURE_BINDING_2D), 0);
  const data = new Uint8Array(4 * width * height);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, data);
  const hasFailed = gl.getError() !== gl.NO_ERROR || gl.isContextLost();
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return hasFailed ? undefined : { data, width, height };
}

function canvasPixels(source, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0, width, height);
  return { data: new Uint8Array(context.getImageData(0, 0, width, height).data.buffer), width, height };
}

// Shows RGBA bytes; small pictures with square pixels.
function paint(canvas, data, width, height) {
  canvas.width = width;
  canvas.height = height;
  canvas.classList.toggle("small", Math.max(width, height) < 160);
  canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(data.buffer, data.byteOffset, data.byteLength), width, height), 0, 0);
  canvas.hidden = false;
}

// RGBA of the bytes that a network sees, of 1, 3 or 4 channels.
function rgbaOf(prepared, channels) {
  const data = new Uint8Array((prepared.length / channels) * 4);
  for (let from = 0, to = 0; from < prepared.length; from += channels, to += 4) {
    for (let c = 0; c < 3; c++) data[to + c] = prepared[from + (channels >= 3 ? c : 0)];
    data[to + 3] = channels === 4 ? prepared[from + 3] : 255;
  }
  return data;
}

// RGBA of the colours of a label map.
function colored(labelMap, colors) {
  const data = new Uint8Array(labelMap.length * 4);
  for (let i = 0; i < labelMap.length; i++) {
    const [red, green, blue] = colors[labelMap[i]];
    data.set([red, green, blue, 255], 4 * i);
  }
  return data;
}
