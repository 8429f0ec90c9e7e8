/** Two ends of a veth pair in one namespace, and tc as the referee of what hangs on them. */
import type { Test } from 'tap'
import { createVeth, type Link, type Namespace } from '../../dist/index.js'
import { scratch } from './scratch.js'

// biome-ignore lint/suspicious/noExplicitAny: whatever tc prints
type Json = any

export async function pair(t: Test): Promise<{ red: Namespace; left: Link; right: Link }> {
  const red = await scratch(t)
  const up = { namespace: red, up: true, addressGeneration: 'none' } as const
  const [left, right] = await createVeth({ name: 'left', ...up }, { name: 'right', ...up })
  return { red, left, right }
}

/** `tc -j -s …` inside, parsed. */
export async function tc(red: Namespace, ...args: string[]): Promise<Json[]> {
  const { stdout } = await red.exec('tc', ['-j', '-s', ...args], { check: true })
  return stdout.trim() === '' ? [] : JSON.parse(stdout)
}

/** `tc …` inside, for what changes something. */
export async function tcDo(red: Namespace, ...args: string[]): Promise<void> {
  await red.exec('tc', args, { check: true })
}
