// Uploads. XMLHttpRequest, because fetch does not tell how far it is.
/** @import {Http} from "./http.js" */

import { Problem } from "./http.js";

/**
 * @param {Http} http
 * @param {File} file
 * @param {{onProgress?: (sent: number, total: number) => void, signal?: AbortSignal}} [options]
 * @returns {Promise<{id: string, name: string, size: number}>}
 */
export function upload(http, file, { onProgress, signal } = {}) {
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
    const form = new FormData();
    form.append("file", file);
    request.send(form);
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
