// What netkit is measured beside: programs that are installed here, and the kernel itself.
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createBridge, createVeth } from '../../dist/index.js'

const installed = (program) =>
  (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, program)))

function need(program) {
  if (!installed(program)) throw Object.assign(new Error(`${program} is not installed`), { skip: true })
}

/** A tap that a program makes in the namespace between, as soon as it is there. */
async function tapOf(site, name) {
  for (let tries = 0; tries < 100; tries++) {
    const link = await site.between.links.find(name)
    if (link !== undefined) return link
    await delay(50)
  }
  throw new Error(`the tap ${name} did not come`)
}

/** Moves the taps that a program makes to the sides. */
async function move(site) {
  await (await tapOf(site, 'left')).set({ namespace: site.near })
  await (await tapOf(site, 'right')).set({ namespace: site.far })
}

export async function socat(site) {
  need('socat')
  const tap = (name) => `TUN,tun-type=tap,iff-no-pi,tun-name=${name}`
  site.pump = await site.run(['socat', '-b', '65536', tap('left'), tap('right')], { namespace: site.between })
  await move(site)
}

export async function vde(site) {
  need('vde_switch')
  const folder = mkdtempSync(join(tmpdir(), 'netkit-vde-'))
  site.onClose(() => rmSync(folder, { recursive: true, force: true }))
  const ports = ['left', 'right', 'third', 'fourth'].flatMap((name) => ['-tap', name])
  site.pump = await site.run(['vde_switch', '-s', join(folder, 'switch'), ...ports], { namespace: site.between })
  await move(site)
  for (const name of ['third', 'fourth']) await (await tapOf(site, name)).set({ up: true })
}

/** How programs get at a namespace of this process. */
const pathOf = (namespace) => `/proc/${process.pid}/fd/${namespace.fd}`

async function up(namespace, name) {
  for (let tries = 0; tries < 100; tries++) {
    const link = await namespace.links.find(name)
    if (link?.up && (await namespace.addresses.list({ link })).some(({ family }) => family === 'inet')) return
    await delay(50)
  }
  throw new Error(`${name} did not come up`)
}

/**
 * Proxies: the kernel's TCP of the near namespace ends in the program, which speaks to the namespace between by a socket. The other
 * designs carry frames, and TCP goes on in another kernel's stack behind them.
 */
export const slirp4netns = (mtu) => async (site) => {
  need('slirp4netns')
  const command = ['slirp4netns', '--configure', `--mtu=${mtu}`, '--netns-type=path', pathOf(site.near), 'left']
  site.pump = await site.run(command, { namespace: site.between, stdio: 'ignore' })
  await up(site.near, 'left')
}

export async function pasta(site) {
  need('pasta')
  // It copies what it finds on an interface with a default route.
  const [outside] = await createVeth(
    { namespace: site.between, name: 'out', addresses: ['192.0.2.1/24'], up: true },
    { namespace: site.between, name: 'away', up: true },
  )
  await site.between.routes.add({ to: 'default', via: '192.0.2.254', link: outside })
  const command = ['pasta', '-f', '-q', '-4', '--runas', '0', '--config-net', '-I', 'left', '--netns-only']
  const forwards = ['-t', 'none', '-u', 'none', '-T', 'none', '-U', 'none', '--netns', '/proc/self/fd/3']
  site.pump = await site.run([...command, ...forwards], {
    namespace: site.between,
    stdio: ['ignore', 'ignore', 'ignore', site.near.fd],
  })
  await up(site.near, 'left')
}

export async function veth({ near, far }) {
  await createVeth({ namespace: near, name: 'left' }, { namespace: far, name: 'right' })
}

export async function bridge({ near, far, between }) {
  const ports = []
  for (const [name, namespace] of [
    ['left', near],
    ['right', far],
  ]) {
    const [, port] = await createVeth({ namespace, name }, { namespace: between, name: `to-${name}`, up: true })
    ports.push(port)
  }
  await createBridge({ namespace: between, name: 'bridge', up: true, ports })
}
