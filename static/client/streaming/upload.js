// Uploads. XMLHttpRequest where there is one, because fetch does not tell how far it is.
/** @import {Http} from "./http.js" */

import { Problem } from "./http.js";

/**
 * @param {Http} http
 * @param {File} file
 * @param {{onProgress?: (sent: number, total: number) => void, signal?: AbortSignal}} [options]
 * @returns {Promise<{id: string, name: string, size: number}>}
 */
export async function upload(http, file, options = {}) {
  if (typeof XMLHttpRequest !== "undefined") return sendWithProgress(http, file, options);
  const answer = await http.form("/files", formOf(file), options.signal);
  options.onProgress?.(file.size, file.size);
  return answer.files[0];
}

/** @param {File} file */
function formOf(file) {
  const form = new FormData();
  form.append("file", file);
  return form;
}

/**
 * @param {Http} http
 * @param {File} file
 * @param {{onProgress?: (sent: number, total: number) => void, signal?: AbortSignal}} options
 * @returns {Promise<{id: string, name: string, size: number}>}
 */
function sendWithProgress(http, file, { onProgress, signal }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const fail = (/** @type {number} */ status, /** @type {any} */ problem) => reject(new Problem(status, problem));
    request.open("POST", `${http.base}/v1/files`);
    for (const [name, value] of Object.entries(http.headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => onProgress?.(loaded, total);
    request.onload = () => {
      const answer = parse(request.responseText);
      if (request.status < 400 && answer.files) resolve(answer.files[0]);
      else fail(request.status, answer);
    };
    request.onerror = () => fail(0, { code: "network_error", detail: "No answer from the server.", retryable: true });
    request.onabort = () => fail(0, { code: "aborted", detail: "The upload was stopped.", retryable: false });
    if (signal?.aborted) return request.onabort(new ProgressEvent("abort"));
    signal?.addEventListener("abort", () => request.abort());
    request.send(formOf(file));
  });
}

/** @param {string} text @returns {any} */
function parse(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}
