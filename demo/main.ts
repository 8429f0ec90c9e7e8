/**
 * `npm run demo`: virtual networks on the real kernel. Everything is made in network namespaces without names, which go
 * with this process; the network of the machine is not touched.
 */
import { release } from 'node:os'
import { Attempts } from './attempts.js'
import { Lifetime } from './lifetime.js'
import { drawMap } from './map.js'
import { explain, inUserNamespace, refusal, runInUserNamespace } from './privileges.js'
import { chooseProof } from './reach.js'
import { bridgeScene } from './scene-bridge.js'
import { switchScene } from './scene-switch.js'
import { tapScene } from './scene-tap.js'
import { vethScene } from './scene-veth.js'
import type { Scene, Stage } from './scenes.js'
import { bold, dim, green, heading, print, red, wrap, yellow } from './terminal.js'

/** Resolves to whether all is as it should be. */
async function show(lifetime: Lifetime): Promise<boolean> {
  const proof = await chooseProof(await lifetime.namespace('of the proof'))
  print(`Who reaches whom is shown by ${proof.name}.`)
  if (proof.instead) for (const line of wrap(`Not by ping: ${proof.instead}.`, 78)) print(line)
  const attempts = new Attempts(lifetime.signal)
  const stage: Stage = { lifetime, proof, attempts }
  const scenes: Scene[] = []
  for (const scene of [vethScene, bridgeScene, tapScene]) {
    lifetime.check()
    const played = await scene(stage)
    if (played !== undefined) scenes.push(played)
  }
  lifetime.check()
  await switchScene(stage)

  heading('From one network to another, where no cable is')
  await attempts.across()

  heading('What there is now, as the kernel lists it')
  for (const scene of scenes) {
    for (const line of await drawMap(scene)) print(line)
    print()
  }
  print(bold('Who (left) reached whom (top): median round trip in milliseconds\n'))
  for (const line of attempts.table()) print(`  ${line}`)

  const problems = attempts.problems()
  const { reached, apart } = attempts.totals()
  print()
  for (const problem of problems) print(red(`  ${problem}`))
  if (problems.length > 0) return false
  print(`${bold(green('It works:'))} all ${reached} pairs on the same network reached each other,`)
  print(`and none of the ${apart} others did.`)
  if (scenes.length < 3) print(yellow('What was skipped, and why, is said above.'))
  return true
}

/** Resolves to the exit code. */
async function main(): Promise<number> {
  const refused = await refusal()
  if (refused !== undefined) {
    if (inUserNamespace) explain(refused, '')
    else return (await runInUserNamespace(refused)) ?? 1
    return 1
  }
  print(bold(`netkit: virtual networks on Linux ${release()}`))
  const user = process.geteuid?.()
  const who = inUserNamespace
    ? 'root of a user namespace, as an ordinary user may not do this outside of one'
    : user === 0
      ? 'root'
      : `user ${user}`
  const where = 'Everything is made in network namespaces of its own: your network is not touched.'
  for (const line of wrap(`Running as ${who}. ${where}`, 78)) print(line)

  const lifetime = new Lifetime()
  let works = false
  try {
    works = await show(lifetime)
  } catch (error) {
    if (lifetime.stoppedBy === undefined) report(error)
    else print(`\n\nStopped by ${lifetime.stoppedBy}.`)
  }
  const start = performance.now()
  const problems = await lifetime.end()
  const time = dim(`${(performance.now() - start).toFixed(0)} ms`)
  if (problems.length === 0)
    print(`Cleaned up: all ${lifetime.namespaces} namespaces are gone, and what was in them.  ${time}`)
  for (const problem of problems) print(red(`left behind: ${problem}`))
  return works && problems.length === 0 ? 0 : lifetime.exitCode
}

function report(error: unknown): void {
  print()
  for (const line of wrap(error instanceof Error ? error.message : String(error), 76)) print(red(line))
  // The lines of the stack alone: the message may have several lines of its own.
  const stack = error instanceof Error ? (error.stack?.match(/^ {4}at .*$/gm) ?? []) : []
  for (const line of stack) print(dim(line))
}

process.exitCode = await main()
