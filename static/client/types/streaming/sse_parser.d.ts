export declare class SseParser {
    #private;
    /** @param {(data: string) => void} give gets the data of each event that is whole */
    constructor(give: (data: string) => void);
    /** @param {string} text */
    feed(text: string): void;
}
