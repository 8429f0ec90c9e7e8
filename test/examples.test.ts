/** Every example runs, prints what it is to prove, and ends by itself. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { needs } from './support/needs.js'
import { packageFolder } from './support/program.js'
import { compile, printsAsExpected, runScratch } from './support/snippets.js'

/** What each prints; '…' stands for what differs. */
const expected: Record<string, string> = {
  'bridge.mjs': `
10.0.2.2 received 'from box 1 to box 2' from 10.0.2.1
10.0.2.3 received 'from box 1 to box 3' from 10.0.2.1
10.0.2.1 received 'from box 2 to box 1' from 10.0.2.2
10.0.2.3 received 'from box 2 to box 3' from 10.0.2.2
10.0.2.1 received 'from box 3 to box 1' from 10.0.2.3
10.0.2.2 received 'from box 3 to box 2' from 10.0.2.3
br0 has the ports port1, port2, port3.`,
  'capture-to-wireshark.mjs': `
0x00000001\t8\t1
0x00000002\t0\t1
0x00000001\t8\t2
0x00000002\t0\t2
0x00000001\t8\t3
0x00000002\t0\t3
6 frames, 0 lost`,
  'hand-a-tap-to-a-child.mjs': `
child: 45 bytes, with 'one'
child: 45 bytes, with 'two'
child: 47 bytes, with 'three'
parent: the child ended with 0; frames read here: 0`,
  'learning-switch.mjs': `
box 1 sent a megabyte to box 2, and got 1000000 bytes back.
box 2 sent a megabyte to box 3, and got 1000000 bytes back.
box 3 sent a megabyte to box 1, and got 1000000 bytes back.
3 addresses known; … frames flooded, … sent to one port.`,
  'lossy-link.mjs': `
250000 bytes in … s: … Mbit/s
3 packets transmitted, 3 received, 0% packet loss, time …
lost on the way: … there, … back`,
  // test/guest-example.test.ts gives it a guest.
  'qemu-guest-on-a-switch.mjs': `
Nothing was started: name a kernel and an initrd.`,
  'tap-echo.mjs': `
10.0.3.2 port 7 sent 'one' back.
10.0.3.2 port 7 sent 'two' back.
10.0.3.2 port 7 sent 'three' back.
The program read … frames and wrote 4.`,
  'tun-ping.mjs': `
The kernel has named the interface tun0.
84 bytes from 10.0.4.1: sequence 1, … ms
84 bytes from 10.0.4.1: sequence 2, … ms
84 bytes from 10.0.4.1: sequence 3, … ms`,
  'two-namespaces.mjs': `
Hello 10.0.1.1, this is blue.
veth1 in red sent … frames and received ….`,
  'vpn-over-udp.mjs': `
1000000 bytes went through the tunnel and back.
The office found its peer at 192.0.2.1.
On the wire they were more: a header and a seal for each packet.`,
  'watch.mjs': `
The store knows 3 links, and that eth0 is up.
added link eth1
added link eth0
added route to 10.0.6.0/24
added route to 10.1.0.0/16
removed link eth0
removed link eth1
removed route to 10.0.6.0/24
removed route to 10.1.0.0/16`,
  'web-server-and-fetch.mjs': `
from blue: 200 { path: '/hello', client: '10.0.5.2' }
from lonely: ENETUNREACH`,
}

const folder = join(packageFolder, 'examples')
const files = readdirSync(folder).filter((name) => name.endsWith('.mjs'))
const able = await needs('namespaces', 'unshare', 'mount')
const tun = await needs('namespaces', 'unshare', 'mount', 'tun')
const shark = await needs('namespaces', 'unshare', 'mount', 'tun', 'tshark')

t.strictSame(files.sort(), Object.keys(expected).sort(), 'each example has its output here')

for (const [name, output] of Object.entries(expected)) {
  t.test(
    name,
    { ...(/^capture/.test(name) ? shark : /^(tap|tun|hand|learning|lossy|vpn)/.test(name) ? tun : able) },
    async (t) => {
      const { stdout, stderr, exitCode } = await runScratch(join(folder, name))
      t.equal(exitCode, 0, stderr)
      t.equal(stderr, '', 'it warns of nothing')
      t.ok(printsAsExpected(stdout, output.trimStart()), 'it prints what it proves', {
        printed: stdout,
        expected: output,
      })
      t.ok(readFileSync(join(folder, name), 'utf8').split('\n').length <= 90, 'it is short')
    },
  )
}

t.test('the types of the examples fit', async (t) => {
  const sources = files.map((name) => `examples/${name}`)
  t.doesNotThrow(() => compile(['--noEmit', '--allowJs', '--checkJs', ...sources]))
})
