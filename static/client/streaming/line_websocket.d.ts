/** @import {Line, Sink, Target} from "./lines.js" */
import type { Line, Sink, Target } from "./lines.js";
/** @param {Target} target @param {Sink} sink @returns {Line} */
export declare function openWebSocket(target: Target, sink: Sink): Line;
