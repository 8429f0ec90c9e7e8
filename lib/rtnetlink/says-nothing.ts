/** Filters of what removes: one that says nothing, as of a variable that is undefined, would remove everything. */
import { valueError } from '../validate.js'

/** Whether nothing is said. */
export function saysNothing(filter: object | undefined): boolean {
  return filter === undefined || (filter !== null && Object.values(filter).every((value) => value === undefined))
}

/** Throws ERR_INVALID_ARG_VALUE for a filter that says nothing; `all` says how everything is asked for. */
export function checkSaysSomething(filter: object | undefined, all: string): void {
  if (saysNothing(filter)) throw valueError('filter', filter, `says nothing; ${all}`)
}
