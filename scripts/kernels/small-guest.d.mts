export interface Kernel {
  series: string
  release: string
  image: string
  modules: string
}
export function findKernel(): { kernel: Kernel; reason?: undefined } | { kernel?: undefined; reason: string }
export function smallInitramfs(kernel: Kernel): Buffer
