/** QEMU guests on taps: descriptors that are inherited, with offload, with several queues; handed on; and used again afterwards. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync } from 'node:fs'
import t, { test } from 'tap'
import { currentNamespace } from '../dist/namespace/open.js'
import { native } from '../dist/native.js'
import { createDescriptorChannels } from '../dist/packets/descriptor-channel.js'
import '../dist/rtnetlink/links.js'
import { adoptTap } from '../dist/tuntap/adopt.js'
import { openTap } from '../dist/tuntap/tap.js'
import { eventually, leavesNoDescriptor } from './support/counting.js'
import {
  Guest,
  guestArguments,
  guestFiles,
  needsGuest,
  network,
  pings,
  startGuest,
  transfers,
} from './support/guest.js'
import { answerFrame } from './support/packets.js'
import { packageFolder } from './support/program.js'
import { ip, scratch } from './support/scratch.js'

t.setTimeout(300_000)
const able = await needsGuest('ip', 'ping')
const IFF_VNET_HDR = 0x4000

test('a guest with four taps: plain, with offload, with two queues, by name', able, async (t) => {
  const namespace = await scratch(t)
  await guestFiles(t)
  // For a hypervisor that attaches to an interface by its name, where that is.
  const named = await openTap({ name: 'named', addresses: ['10.0.10.1/24'], up: true, persist: true })
  await named.close()
  t.teardown(async () => (await openTap({ name: 'named' })).delete())
  await leavesNoDescriptor(t, 'a guest', async () => {
    const plain = await openTap({ namespace, name: 'plain', addresses: ['10.0.7.1/24'], up: true })
    const large = await openTap({ namespace, name: 'large', addresses: ['10.0.8.1/24'], up: true, offload: true })
    const two = await openTap({
      namespace,
      name: 'two',
      addresses: ['10.0.9.1/24'],
      up: true,
      offload: true,
      queues: 2,
    })
    const guest = await startGuest(t, {
      processors: 2,
      descriptors: [...plain.fds, ...large.fds, ...two.fds],
      network: [
        ...network('tap,id=n0,fd=4', '52:54:00:00:00:01'),
        ...network('tap,id=n1,fd=5', '52:54:00:00:00:02'),
        ...network('tap,id=n2,vhost=off,fds=6:7', '52:54:00:00:00:03', ',mq=on,vectors=6'),
        ...network('tap,id=n3,ifname=named,script=no,downscript=no', '52:54:00:00:00:04'),
      ],
    })
    for (const [i, subnet] of ['10.0.7', '10.0.8', '10.0.9', '10.0.10'].entries())
      await guest.configure(i, `${subnet}.2/24`)
    t.equal((await guest.ask('ls -d /sys/class/net/eth2/queues/rx-* | wc -l')).trim(), '2', 'the guest has two queues')
    t.equal(plain.stats().framesRead, 0, 'nothing was read here')

    // QEMU has its own descriptors: nothing here is needed any more.
    const released = [...(await plain.release()), ...(await two.release())]
    t.equal(released.length, 3)
    t.same([plain.fds, two.fds], [[], []])
    t.notOk(
      released.some((fd) => native.disownDescriptor(fd)),
      'the environment does not close them either',
    )
    for (const fd of released) closeSync(fd)

    await pings(t, namespace, '10.0.7.2')
    await pings(t, namespace, '10.0.9.2')
    await pings(t, currentNamespace(), '10.0.10.2')
    const bytes = 2_000_000
    for (const address of ['10.0.7.2', '10.0.8.2', '10.0.9.2']) await transfers(t, namespace, guest, address, bytes)
    const whole = await namespace.links.get('plain')
    const uncut = await namespace.links.get('large')
    const frames = Math.ceil(bytes / 1460)
    t.ok((whole.stats?.sentPackets ?? 0) >= frames, 'without offload each segment is a frame')
    t.ok((uncut.stats?.sentPackets ?? Infinity) < frames / 2, 'with it, frames are larger than the MTU')

    await guest.kill()
    t.ok(await eventually(async () => (await ip(namespace, 'link')).length === 2), 'what only QEMU held goes with it')
    // The header has the length that QEMU gave it: adopting sets that right.
    const identity = native.identifyTun(large.fds[0] as number) as { flags: number }
    t.ok((identity.flags & IFF_VNET_HDR) !== 0)
    const again = await adoptTap({ fds: await large.release() })
    t.ok(again.offload)
    const playing = (async () => {
      for await (const batch of again.batches()) {
        again.writeBatch([...batch].map(answerFrame).filter((answer) => answer !== undefined))
      }
    })()
    await pings(t, namespace, '10.0.8.7')
    await again.close()
    await playing
  })
})

test('a tap that is sent to another process, which starts a guest and ends', able, async (t) => {
  const namespace = await scratch(t)
  const { kernel, initrd } = await guestFiles(t)
  const args = guestArguments(kernel, initrd, { network: network('tap,id=n0,fd=4') })
  // The launcher has no privilege to open a tap, and needs none.
  const source = `
    import { spawn } from 'node:child_process'
    import { openDescriptorChannel } from './dist/index.js'
    const channel = openDescriptorChannel({ fd: 4 })
    const received = await channel.receive({ max: 1 })
    const args = JSON.parse(received.data)
    const stdio = ['ignore', 1, 2, 3, received.fds[0]]
    const guest = spawn('qemu-system-x86_64', args, { stdio, detached: true })
    await channel.send([], String(guest.pid))
    process.exit()
  `
  const tap = await openTap({ namespace, name: 'tap0', addresses: ['10.0.7.1/24'], up: true })
  const [here, there] = createDescriptorChannels()
  const launcher = spawn(process.execPath, ['--input-type=module', '--eval', source], {
    cwd: packageFolder,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', there.fd],
  })
  const guest = new Guest(launcher)
  let pid = 0
  t.teardown(() => pid !== 0 && process.kill(pid, 'SIGKILL'))
  await there.close()
  await here.send(tap, JSON.stringify(args))
  pid = Number((await here.receive())?.data.toString())
  await here.close()
  if (launcher.exitCode === null) await once(launcher, 'exit')
  await tap.close()
  await guest.wait()
  await guest.configure(0, '10.0.7.2/24')
  await pings(t, namespace, '10.0.7.2')
  await transfers(t, namespace, guest, '10.0.7.2')
  t.ok(tap.destroyed)
  process.kill(pid, 'SIGKILL')
  pid = 0
  await guest.ended
  t.ok(await eventually(async () => (await ip(namespace, 'link')).length === 1))
})
