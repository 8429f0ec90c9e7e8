/** QEMU guests on taps: descriptors that are inherited, whoever opened them and wherever. */
import { test } from 'tap'
import { openTap } from '../dist/tuntap/tap.js'
import { FIRST_FD, needsGuest, network, startGuest } from './support/guest.js'
import { scratch } from './support/scratch.js'

test('x', await needsGuest('ping'), async (t) => {
  const namespace = await scratch(t)
  const tap = await openTap({ namespace, addresses: ['10.0.7.1/24'], up: true })
  console.error('start', Date.now())
  const guest = await startGuest(t, { network: network(`tap,id=n0,fd=${FIRST_FD}`), descriptors: tap.fds })
  console.error('up', Date.now())
  console.error(await guest.ask('uname -a; ip address add 10.0.7.2/24 dev eth0; ip address; cat /proc/uptime'))
  console.error(await namespace.exec('ping', ['-c3', '-i0.2', '10.0.7.2']))
  console.error(guest.console)
  await guest.kill()
  await tap.close()
})
