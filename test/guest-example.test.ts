/** The example with a guest, given one. (test/examples.test.ts runs it without.) */
import { join } from 'node:path'
import t, { test } from 'tap'
import { guestFiles, needsGuest } from './support/guest.js'
import { packageFolder } from './support/program.js'
import { printsAsExpected, runScratch } from './support/snippets.js'

t.setTimeout(300_000)

test('a guest on a switch in JavaScript', await needsGuest('unshare', 'mount'), async (t) => {
  const { kernel, initrd } = await guestFiles(t)
  const example = join(packageFolder, 'examples/qemu-guest-on-a-switch.mjs')
  const { stdout, stderr, exitCode } = await runScratch(example, [kernel.image, initrd], undefined, 180_000)
  t.equal(exitCode, 0, stderr)
  t.equal(stderr, '')
  const expected = `
The guest is plugged in.
The guest: 3 packets transmitted, 3 packets received, 0% packet loss
Addresses seen: 020000000001, …525400000002`
  t.ok(printsAsExpected(stdout, expected.trimStart()), 'it prints what it proves', { stdout, expected })
})
