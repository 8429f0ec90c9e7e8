// What passes a slow line between two namespaces, live in tshark or Wireshark.
//
// Run as root, or, where /dev/net/tun is open to everybody, as an ordinary user:
//   unshare --user --map-root-user --net node examples/capture-to-wireshark.mjs
//
// Without arguments it shows three pings with tshark. Otherwise it goes on until Ctrl-C:
//   … capture-to-wireshark.mjs wireshark -k -i -        in Wireshark's window
//   … capture-to-wireshark.mjs cat > line.pcapng        as a file
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { pipeline } from 'node:stream/promises'
import { capture, createNamespace, openTap, startPump } from 'netkit'

const fields = ['frame.packet_flags_direction', 'icmp.type', 'icmp.seq']
const [program = 'tshark', ...given] = process.argv.slice(2)
const isShort = process.argv.length === 2
// -n: no names are looked up; -l: each line at once; -i -: from standard input.
const args = isShort ? ['-n', '-l', '-i', '-', '-T', 'fields', ...fields.flatMap((field) => ['-e', field])] : given

const [red, blue] = [await createNamespace(), await createNamespace()]
const left = await openTap({ namespace: red, name: 'left', addresses: ['10.0.8.1/24'], up: true })
const right = await openTap({ namespace: blue, name: 'right', addresses: ['10.0.8.2/24'], up: true })
const pump = startPump(left, right, { delay: 20 })

// Detached: Ctrl-C is for this program, which ends the stream, and with it the viewer.
const viewer = spawn(program, args, { stdio: ['pipe', 'inherit', isShort ? 'ignore' : 'inherit'], detached: true })
const closed = once(viewer, 'close').catch((error) => {
  console.error(error.message)
  process.exitCode = 1
})
const stop = new AbortController()
process.once('SIGINT', () => stop.abort())
void closed.then(() => stop.abort())
try {
  const running = await capture({ pump, filter: { protocol: 'icmp' }, signal: stop.signal })
  // Each batch of frames goes out as soon as it is there. A viewer that is closed ends the capture.
  const showing = pipeline(running.stream, viewer.stdin).catch(() => {})
  const count = isShort ? ['-c3'] : []
  await red.exec('ping', [...count, '-i0.2', '10.0.8.2'], { signal: stop.signal }).catch(() => {})
  await running.close()
  await showing
  await closed
  if (isShort) console.log(`${running.stats().frames} frames, ${running.stats().dropped} lost`)
} finally {
  await pump.close()
  await Promise.all([left.close(), right.close()])
  await Promise.all([red.delete(), blue.delete()])
}
