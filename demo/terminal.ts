/** What the demo prints: headings, steps with their times, and colors where they are wanted. */
import { env, stdout } from 'node:process'

// https://no-color.org: any value but an empty one turns colors off.
const colored = stdout.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb'

/**
 * Whether lines may be drawn with box characters. An unset locale says nothing, and terminals of today show them; one
 * that is set to something else than UTF-8 means it.
 */
export const unicode = env.TERM !== 'dumb' && /^$|utf-?8/i.test(env.LC_ALL || env.LC_CTYPE || env.LANG || '')

const paint = (code: number) => (text: string) => (colored && text !== '' ? `\x1b[${code}m${text}\x1b[0m` : text)

export const bold = paint(1)
export const dim = paint(2)
export const red = paint(31)
export const green = paint(32)
export const yellow = paint(33)
export const cyan = paint(36)

export function print(text = ''): void {
  stdout.write(`${text}\n`)
}

export function heading(text: string): void {
  print(`\n${bold(text)}\n`)
}

/** A line below a step, indented to its text. */
export function detail(text: string): void {
  print(`        ${text}`)
}

export function skipped(label: string, text: string): void {
  print(`  ${yellow('skip')}  ${label}`)
  for (const line of wrap(text, 70)) detail(line)
}

/**
 * Shows what is being done, does it, and shows that it is done and how long it took. `outcome` gives what to add to the
 * line then, `isGood` whether it came out as it should.
 */
export async function step<T>(
  what: string,
  work: () => Promise<T>,
  outcome?: (result: T) => string,
  isGood: (result: T) => boolean = () => true,
): Promise<T> {
  if (stdout.isTTY) stdout.write(`  ${dim('....')}  ${what}`)
  const start = performance.now()
  try {
    const result = await work()
    const time = dim(`${milliseconds(performance.now() - start)} ms`)
    const mark = isGood(result) ? green('ok') : red('no')
    rewrite(`  ${mark}    ${what}${outcome ? `: ${outcome(result)}` : ''}  ${time}`)
    return result
  } catch (error) {
    rewrite(`  ${red('no')}    ${what}`)
    throw error
  }
}

/** Replaces the line that a terminal shows; elsewhere nothing was written yet. */
function rewrite(line: string): void {
  print(stdout.isTTY ? `\r\x1b[K${line}` : line)
}

/** Three digits or so: 0.046, 3.1, 412. */
export function milliseconds(time: number): string {
  return time < 1 ? time.toFixed(3) : time < 100 ? time.toFixed(1) : time.toFixed(0)
}

/** Cuts a text into lines between words. */
export function wrap(text: string, width: number): string[] {
  const lines = ['']
  for (const word of text.split(/\s+/)) {
    const line = lines[lines.length - 1] ?? ''
    if (line === '') lines[lines.length - 1] = word
    else if (line.length + 1 + word.length > width) lines.push(word)
    else lines[lines.length - 1] = `${line} ${word}`
  }
  return lines
}
