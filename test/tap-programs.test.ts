/** eBPF programs of a tap, attached by descriptor. A program in C loads them and becomes node, which inherits their descriptors. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { needs } from './support/needs.js'
import { packageFolder } from './support/program.js'
import { scratch } from './support/scratch.js'

/** Programs that return 0, 1, 3, and 40, as descriptors 20 to 23; and one of another type as 24. */
const loader = `
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int count, char **arguments) {
  int results[] = { 0, 1, 3, 40, XDP_PASS };
  for (int i = 0; i < 5; i++) {
    struct bpf_insn code[] = {
      { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = results[i] },
      { .code = BPF_JMP | BPF_EXIT },
    };
    union bpf_attr attribute;
    memset(&attribute, 0, sizeof attribute);
    attribute.prog_type = i == 4 ? BPF_PROG_TYPE_XDP : BPF_PROG_TYPE_SOCKET_FILTER;
    attribute.insn_cnt = 2;
    attribute.insns = (uintptr_t)code;
    attribute.license = (uintptr_t)"GPL";
    int fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attribute, sizeof attribute);
    if (fd < 0 || dup2(fd, 20 + i) < 0) { perror("bpf"); return 1; }
  }
  if (count < 2) return 0;
  execv(arguments[1], arguments + 1);
  return 1;
}
`

const folder = mkdtempSync(join(tmpdir(), 'netkit-programs-'))
t.teardown(() => rmSync(folder, { recursive: true }))
const program = join(folder, 'loader')

/** What a test of attaching needs, with a loader that works. */
async function able(): Promise<{ skip: string | false }> {
  const needed = await needs('namespaces', 'tun', 'cc')
  if (needed.skip !== false) return needed
  const compiled = spawnSync('cc', ['-o', program, '-x', 'c', '-'], { input: loader, encoding: 'utf8' })
  if (compiled.status !== 0) return { skip: `the loader cannot be compiled: ${compiled.stderr.split('\n')[0]}` }
  const { status, stderr } = spawnSync(program, { encoding: 'utf8' })
  return { skip: status === 0 ? false : `no eBPF program can be loaded here: ${stderr.trim()}` }
}

/** Runs in the namespace with the descriptors; prints what it finds as JSON. */
const steps = `
  import { once } from 'node:events'
  import { currentNamespace, openTap } from './dist/index.js'
  const here = currentNamespace()
  here.sysctl.set('net.ipv6.conf.default.disable_ipv6', 1)
  const tap = await openTap({ name: 'tap0', addresses: ['10.0.2.1/24'], up: true, queues: 2 })
  await here.neighbors.add({ address: '10.0.2.7', mac: '02:00:00:00:00:07', link: tap.link, state: 'permanent' })
  const counts = [0, 0]
  const lengths = new Set()
  tap.queues.forEach((queue, i) => queue.on('data', (frame) => { counts[i]++; lengths.add(frame.length) }))
  const socket = await here.bindDatagram({ type: 'udp4' })
  const found = {}
  // Each step sends 64 datagrams to different ports, so that the kernel alone would take both queues.
  const step = async (what, expected) => {
    counts.fill(0)
    lengths.clear()
    for (let port = 1000; port < 1064; port++) await new Promise((done) => socket.send(Buffer.alloc(58), port, '10.0.2.7', done))
    for (let i = 0; i < 200 && counts[0] + counts[1] < expected; i++) await new Promise((done) => setTimeout(done, 5))
    if (expected === 0) await new Promise((done) => setTimeout(done, 30))
    found[what] = [...counts, ...lengths]
  }
  const failing = async (what, role, fd) => {
    found[what] = await tap[role](fd).then(() => 'none', (error) => error.code)
  }
  await step('none', 64)
  await tap.setSteering(21); await step('always 1', 64)
  await tap.setSteering(20); await step('always 0', 64)
  await tap.setSteering(22); await step('3 of 2', 64)
  await tap.setFilter(20); await step('nothing passes', 0)
  await tap.setFilter(23); await step('cut', 64)
  await tap.setFilter(undefined); await step('all again', 64)
  await tap.setSteering(undefined); await step('as before', 64)
  await failing('another type', 'setSteering', 24)
  await failing('no program', 'setFilter', 1)
  await failing('no descriptor', 'setFilter', 999)
  await failing('no number', 'setFilter', -1)
  socket.close()
  await tap.close()
  await failing('closed', 'setFilter', 20)
  console.log(JSON.stringify(found))
`

t.test('steering and filter programs', await able(), async (t) => {
  const namespace = await scratch(t)
  const args = [process.execPath, '--input-type=module', '--eval', steps]
  const { stdout } = await namespace.exec(program, args, { check: true, cwd: packageFolder })
  const found = JSON.parse(stdout)
  const spread = ([first, second]: number[] = []) =>
    (first ?? 0) > 0 && (second ?? 0) > 0 && (first ?? 0) + (second ?? 0) === 64
  t.ok(spread(found.none), `the kernel's own choice: ${found.none}`)
  t.same(found['always 1'], [0, 64, 100])
  t.same(found['always 0'], [64, 0, 100])
  t.same(found['3 of 2'], [0, 64, 100])
  t.same(found['nothing passes'], [0, 0])
  t.same(found.cut, [0, 64, 40])
  t.same(found['all again'], [0, 64, 100])
  t.ok(spread(found['as before']), `the kernel's own choice again: ${found['as before']}`)
  t.match(found, {
    'another type': 'EINVAL',
    'no program': 'EINVAL',
    'no descriptor': 'EBADF',
    'no number': 'ERR_OUT_OF_RANGE',
    closed: 'EBADF',
  })
})
