/**
 * One run of a command as root under another kernel: QEMU without KVM, the host's tree as a root that nothing can be written to, no
 * network device. About 3 s more than the command; JavaScript is 2.5 to 3 times slower than outside.
 *
 * QEMU's ports are sockets that this process made, so that no file is left behind but the initramfs; QEMU ends with this process,
 * however that ends.
 */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { initramfs } from './initramfs.mjs'
import { cache } from './kernel.mjs'

/** So many guests at a time on this machine, whoever starts them: each takes a processor and 1 GB. */
const slots = 2
/** flock's exit code for a lock that somebody else has. No QEMU ends with it. */
const taken = 75
/** Descriptors of QEMU, by the port's name; init.sh finds the ports by the same names. */
const ports = { output: 3, results: 4, exit: 5, console: 6 }

function qemuArguments(kernel, initrd) {
  const args = ['-nodefaults', '-no-reboot', '-display', 'none', '-M', 'q35', '-m', '1024']
  // One processor: two that interrupt each other all the time take twice the work. QEMU computes wide vectors slowly: a guest that
  // believes it has none takes 15 % less.
  args.push('-cpu', 'max,avx=off,avx2=off')
  args.push('-accel', 'tcg,thread=multi,tb-size=256')
  args.push('-kernel', kernel.image, '-initrd', initrd)
  // An oops may hold the kernel's network lock for ever: better an end that is seen. No tunnel devices that nobody asked for.
  args.push('-append', 'console=ttyS0 quiet panic=-1 oops=panic mitigations=off nowatchdog fb_tunnels=none')
  args.push('-fsdev', 'local,id=host,path=/,security_model=none,readonly=on,multidevs=remap')
  args.push('-device', 'virtio-9p-pci,fsdev=host,mount_tag=host', '-device', 'virtio-rng-pci')
  args.push('-device', 'virtio-serial-pci,vectors=2')
  for (const [name, fd] of Object.entries(ports)) {
    args.push('-chardev', `socket,id=${name},fd=${fd}`)
    if (name === 'console') args.push('-serial', 'chardev:console')
    else args.push('-device', `virtserialport,chardev=${name},name=${name}`)
  }
  return args
}

/** Starts QEMU when a slot is free, and hands the child over before it waits for it. */
async function inSlot(args, stdio, onChild, onWait) {
  mkdirSync(cache, { recursive: true })
  for (let tries = 0; ; tries++) {
    const lock = join(cache, `.guest-${tries % slots}.lock`)
    // setpriv: QEMU is killed when this process ends; flock: the lock is QEMU's, and goes with it.
    const wrapper = ['--pdeathsig', 'KILL', 'flock', '--nonblock', '--no-fork', '-E', String(taken), lock]
    const child = spawn('setpriv', [...wrapper, 'qemu-system-x86_64', ...args], { stdio })
    onChild(child)
    const [code, signal] = await new Promise((resolve) => {
      child.on('error', (error) => resolve([error.message, null]))
      child.on('close', (code, signal) => resolve([code, signal]))
    })
    if (code !== taken) return signal ?? code
    if (tries === slots - 1) onWait()
    if (tries % slots === slots - 1) await delay(1000)
  }
}

/**
 * Runs shell commands in a guest. `onOutput` gets what they write, as it comes. Gives
 * `{ exitCode, results, problem }`: `results` is what was written to the file $NETKIT_RESULTS; `exitCode` is undefined and `problem` says
 * why when the commands did not come to their end.
 */
export async function runInGuest(kernel, command, { onOutput, onWait, signal, seconds }) {
  const folder = mkdtempSync(join(tmpdir(), 'netkit-guest-'))
  const texts = { output: '', results: '', exit: '', console: '' }
  let problem
  let child
  let timer
  const stop = (why) => {
    problem ??= why
    child?.kill('SIGKILL')
  }
  const onAbort = () => stop('interrupted')
  try {
    const initrd = join(folder, 'initramfs')
    writeFileSync(initrd, initramfs(kernel, command))
    signal.addEventListener('abort', onAbort)
    if (signal.aborted) return { problem: 'interrupted', results: '' }
    let said = ''
    const stdio = ['ignore', 'ignore', 'pipe', 'pipe', 'pipe', 'pipe', 'pipe']
    const end = await inSlot(
      qemuArguments(kernel, initrd),
      stdio,
      (started) => {
        child = started
        clearTimeout(timer)
        timer = setTimeout(() => stop(`not done after ${seconds} s`), seconds * 1000)
        child.stderr?.setEncoding('utf8').on('data', (text) => {
          said += text
        })
        for (const [name, fd] of Object.entries(ports)) {
          child.stdio[fd]?.on('error', () => {})
          child.stdio[fd]?.setEncoding('utf8').on('data', (text) => {
            if (name === 'output') onOutput(text)
            else texts[name] += text
          })
        }
      },
      onWait,
    )
    const exitCode = /^\d+\n/.test(texts.exit) ? Number.parseInt(texts.exit, 10) : undefined
    if (exitCode === undefined) {
      problem ??= `QEMU ended (${end}) before the commands did`
      const tail = texts.console.replaceAll('\r', '').trimEnd().split('\n').slice(-40).join('\n')
      problem += [said, tail]
        .filter((text) => text.trim() !== '')
        .map((text) => `\n${text.trimEnd()}`)
        .join('')
    }
    return { exitCode, results: texts.results, problem }
  } finally {
    signal.removeEventListener('abort', onAbort)
    clearTimeout(timer)
    rmSync(folder, { recursive: true, force: true })
  }
}
