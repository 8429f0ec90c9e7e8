/** The types of what the demo takes from isolate.mjs. */

/** What the user can do where no network namespace can be made, one line each. */
export function advice(): string[]
