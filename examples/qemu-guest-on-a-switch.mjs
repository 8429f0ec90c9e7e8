// A QEMU guest on a switch that is written in JavaScript, together with a tap in a namespace, which the guest pings.
//
// It takes a kernel, and an initrd that knows address= and ping= on the kernel's command line. In a checkout of netkit,
//   node scripts/kernels/small-guest.mjs /tmp/initrd
// makes one of busybox and a kernel of Debian's, and prints both paths. Then, as root, or as an ordinary user:
//   unshare --user --map-root-user --net node examples/qemu-guest-on-a-switch.mjs KERNEL INITRD
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createNamespace, openTap, serveQemuStream } from 'netkit'

const [kernel, initrd] = process.argv.slice(2)
if (kernel === undefined || initrd === undefined) {
  console.log('Nothing was started: name a kernel and an initrd.')
  process.exit()
}

/** Where each address is. @type {Map<string, import('netkit').PacketEnd>} */
const known = new Map()
/** @type {Set<import('netkit').PacketEnd>} */
const ports = new Set()

/** @param {import('netkit').PacketEnd} port */
function plugIn(port) {
  ports.add(port)
  port.once('close', () => ports.delete(port))
  port.onBatch((batch) => {
    for (const [i, frame] of [...batch].entries()) {
      known.set(frame.toString('hex', 6, 12), port)
      const to = known.get(frame.toString('hex', 0, 6))
      for (const other of to ? [to] : ports) if (other !== port && !other.destroyed) other.writeBatch(batch.select([i]))
    }
  })
}

const folder = mkdtempSync(join(tmpdir(), 'switch-'))
const path = join(folder, 'socket')
const box = await createNamespace()
const tap = await openTap({ namespace: box, mac: '02:00:00:00:00:01', addresses: ['10.0.7.1/24'], up: true })
plugIn(tap)
const server = await serveQemuStream({ path }, (end) => {
  console.log('The guest is plugged in.')
  plugIn(end)
})

const machine = '-M q35 -accel tcg -cpu max -m 256 -nodefaults -no-reboot -display none -serial stdio'
const network = ['-netdev', `stream,id=n0,server=off,addr.type=unix,addr.path=${path}`]
const device = ['-device', 'virtio-net-pci,netdev=n0,romfile=,mac=52:54:00:00:00:02']
const words = 'console=ttyS0 quiet panic=-1 address=10.0.7.2/24 ping=10.0.7.1'
const system = ['-kernel', kernel, '-initrd', initrd, '-append', words]
const guest = spawn('qemu-system-x86_64', [...machine.split(' '), ...network, ...device, ...system], {
  stdio: ['ignore', 'pipe', 'inherit'],
  timeout: 120_000,
})
let said = ''
guest.stdout.on('data', (text) => (said += text))
const problem = await new Promise((resolve) => guest.once('error', resolve).once('close', () => resolve(undefined)))
if (problem) console.log(`The guest was not started: ${problem.message}`)
else console.log(`The guest: ${/.*packet loss/.exec(said)?.[0] ?? said}`)
console.log(`Addresses seen: ${[...known.keys()].sort().join(', ')}`)

await server.close()
await tap.close()
await box.delete()
rmSync(folder, { recursive: true })
