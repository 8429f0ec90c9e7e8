// A tap is opened here, and another program works with it: it needs the descriptor, and no privilege.
//
// Run as root, or, where /dev/net/tun is open to everybody, as an ordinary user:
//   unshare --user --map-root-user --net node examples/hand-a-tap-to-a-child.mjs
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createNamespace, openTap } from 'netkit'

/** The other program. It knows nothing of netkit: descriptor 3 gives one frame a read. */
async function child() {
  const buffer = Buffer.alloc(2048)
  for (let frames = 0; frames < 3; ) {
    try {
      const frame = buffer.subarray(0, readSync(3, buffer))
      // IPv4 and UDP: the rest is what the kernel has to say on its own.
      if (frame.readUInt16BE(12) !== 0x0800 || frame.readUInt8(23) !== 17) continue
      frames++
      console.log(`child: ${frame.length} bytes, with '${frame.subarray(42)}'`)
    } catch (error) {
      // The descriptor does not block: EAGAIN says that no frame waits.
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EAGAIN') throw error
      await delay(10)
    }
  }
}

async function parent() {
  const box = await createNamespace()
  const tap = await openTap({ name: 'tap0', namespace: box, addresses: ['10.0.6.1/24'], up: true })
  try {
    const socket = await box.bindDatagram({ type: 'udp4', broadcast: true })
    // Sent before the child is there. Nothing reads the descriptor here, so they wait in the kernel.
    for (const word of ['one', 'two', 'three']) await new Promise((sent) => socket.send(word, 9, '10.0.6.255', sent))
    socket.close()

    const [fd] = tap.fds
    const program = spawn(process.execPath, [fileURLToPath(import.meta.url), 'child'], {
      stdio: ['ignore', 'inherit', 'inherit', fd],
      timeout: 30_000,
    })
    const [code] = await once(program, 'exit')
    console.log(`parent: the child ended with ${code}; frames read here: ${tap.stats().framesRead}`)
    process.exitCode = code ?? 1
  } finally {
    await tap.close()
    await box.delete()
  }
}

await (process.argv[2] === 'child' ? child() : parent())
