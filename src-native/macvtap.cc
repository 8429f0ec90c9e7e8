// The character device of a macvtap or ipvtap. The kernel numbers it, and makes it known in a sysfs of the link's
// namespace; the file for it in /dev is made by devtmpfs or udev under a name (tap and the link's index) that links of
// several namespaces can have. So both come from filesystems of our own, mounted nowhere.
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "arguments.h"
#include "environment.h"
#include "functions.h"

namespace netkit {

namespace {

// linux/mount.h and asm-generic/unistd.h, since Linux 5.2: headers that are older do to compile this.
constexpr long kFsopen = 430, kFsconfig = 431, kFsmount = 432;
constexpr unsigned int kFsopenCloexec = 1, kFsmountCloexec = 1, kFsconfigCreate = 6;

// A filesystem that is mounted nowhere. Returns a descriptor of its root, or a negated errno.
int MountApart(const char* type) {
  const Descriptor context(static_cast<int>(syscall(kFsopen, type, kFsopenCloexec)));
  if (!context.valid()) return -errno;
  if (syscall(kFsconfig, context.get(), kFsconfigCreate, nullptr, nullptr, 0) != 0) return -errno;
  const long root = syscall(kFsmount, context.get(), kFsmountCloexec, 0);
  return root < 0 ? -errno : static_cast<int>(root);
}

// Digits, and the character after them. Not sscanf(3): in a glibc of our time that is a symbol which older ones lack,
// and so are mknodat(2) and fstat(2) below.
bool ParseDigits(const char** text, char after, unsigned int* value) {
  const char* start = *text;
  for (*value = 0; **text >= '0' && **text <= '9' && *text - start < 9; (*text)++)
    *value = *value * 10 + (**text - '0');
  return *text > start && *(*text)++ == after;
}

// "240:3" and a newline.
bool ParseNumber(const char* text, dev_t* number) {
  unsigned int major_number, minor_number;
  if (!ParseDigits(&text, ':', &major_number) || !ParseDigits(&text, '\n', &minor_number)) return false;
  *number = makedev(major_number, minor_number);
  return true;
}

// Whether it is this character device.
bool IsDevice(int fd, dev_t number) {
  struct statx seen;
  return statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &seen) == 0 && S_ISCHR(seen.stx_mode) &&
         makedev(seen.stx_rdev_major, seen.stx_rdev_minor) == number;
}

// The number of the device, from a sysfs. Returns 0 or a negated errno.
int ReadNumber(int sysfs, const char* prefix, const char* name, uint32_t index, dev_t* number) {
  static const char* const kKinds[] = {"macvtap", "ipvtap"};
  for (const char* kind : kKinds) {
    char path[128], text[32];
    snprintf(path, sizeof(path), "%sclass/net/%s/%s/tap%u/dev", prefix, name, kind, index);
    const Descriptor file(openat(sysfs, path, O_RDONLY | O_CLOEXEC));
    if (!file.valid()) {
      if (errno != ENOENT) return -errno;
      continue;
    }
    const ssize_t length = read(file.get(), text, sizeof(text) - 1);
    if (length < 0) return -errno;
    text[length] = '\0';
    return ParseNumber(text, number) ? 0 : -EINVAL;
  }
  return -ENODEV;
}

// Returns a descriptor or a negated errno.
int OpenNode(dev_t number, uint32_t index) {
  constexpr int kFlags = O_RDWR | O_NONBLOCK | O_CLOEXEC;
  int error;
  const Descriptor files(MountApart("tmpfs"));
  if (files.valid() && syscall(SYS_mknodat, files.get(), "tap", S_IFCHR | 0600, number) == 0) {
    const int fd = openat(files.get(), "tap", kFlags);
    if (fd >= 0) return fd;
    error = -errno;
  } else {
    error = files.valid() ? -errno : files.get();
  }
  // Without the privileges for that, what others have made.
  char path[32];
  snprintf(path, sizeof(path), "/dev/tap%u", index);
  Descriptor file(open(path, O_PATH | O_CLOEXEC));
  if (!file.valid() || !IsDevice(file.get(), number)) return error;
  file.Reset(open(path, kFlags));
  if (!file.valid()) return -errno;
  // It may have become another one meanwhile.
  return IsDevice(file.get(), number) ? file.Release() : -ESTALE;
}

class OpenMacvtapJob : public EnteringJob {
 public:
  OpenMacvtapJob(const char* name, uint32_t index, uint32_t flags) : index_(index), flags_(flags) {
    memcpy(name_, name, IFNAMSIZ);
  }

  void Run() override {
    if (!Step("setns", Enter())) return;
    dev_t number = 0;
    int error;
    {
      const int mounted = MountApart("sysfs");
      const Descriptor sysfs(mounted);
      error = mounted < 0 ? mounted : ReadNumber(sysfs.get(), "", name_, index_, &number);
      // A container has a sysfs of its own namespace, if it may not mount one.
      if (mounted < 0 && !enters() && ReadNumber(AT_FDCWD, "/sys/", name_, index_, &number) == 0) error = 0;
    }
    if (!Step("sysfs", error)) return;
    const int fd = OpenNode(number, index_);
    fd_.Reset(fd);
    if (!Step("open", fd < 0 ? fd : 0)) return;
    ifreq request = {};
    if (!Step("TUNGETIFF", ioctl(fd, TUNGETIFF, &request) < 0 ? -errno : 0)) return;
    if (!Step("TUNGETIFF", strncmp(request.ifr_name, name_, IFNAMSIZ) == 0 ? 0 : -ENODEV)) return;
    request.ifr_flags = static_cast<short>(flags_);
    Step("TUNSETIFF", ioctl(fd, TUNSETIFF, &request) < 0 ? -errno : 0);
  }

  void Refuse(int error) override { Step("setns", error); }

  napi_value Finish(Environment& environment) override {
    napi_env env = environment.env();
    const int fd = fd_.Release();
    if (fd >= 0) environment.descriptors().Own(fd);
    napi_value result = nullptr, syscall = nullptr;
    if (napi_create_object(env, &result) != napi_ok) return nullptr;
    napi_create_string_latin1(env, syscall_, NAPI_AUTO_LENGTH, &syscall);
    napi_set_named_property(env, result, "fd", Number(env, fd));
    napi_set_named_property(env, result, "error", Number(env, error_));
    napi_set_named_property(env, result, "syscall", syscall);
    return result;
  }

 private:
  // Whether to go on.
  bool Step(const char* syscall, int error) {
    syscall_ = syscall;
    error_ = error;
    if (error != 0) fd_.Reset(-1);
    return error == 0;
  }

  char name_[IFNAMSIZ];
  const uint32_t index_;
  const uint32_t flags_;
  const char* syscall_ = "";
  int error_ = 0;
  Descriptor fd_;
};

// The kernel takes a lock for it that is held long at times.
class ProbeTunJob : public NumberJob {
 public:
  explicit ProbeTunJob(int fd) : fd_(fd) {}
  void Run() override {
    ifreq request = {};
    result_ = ioctl(fd_, TUNGETIFF, &request) == 0 ? 0 : -errno;
  }

 private:
  const int fd_;
};

}  // namespace

napi_value OpenMacvtap(napi_env env, napi_callback_info info) {
  Arguments<4> arguments(env, info);
  char name[IFNAMSIZ] = {};
  int ns = arguments.Integer(0);
  size_t length = arguments.String(1, name, sizeof(name));
  uint32_t index = arguments.Unsigned(2);
  uint32_t flags = arguments.Unsigned(3);
  if (!arguments.ok()) return nullptr;
  OpenMacvtapJob* job = new OpenMacvtapJob(name, index, flags);
  // A name is part of a path here.
  const bool valid = length > 0 && length < sizeof(name) && strchr(name, '/') == nullptr && flags <= UINT16_MAX;
  const int error = valid ? job->SetNamespace(ns) : -EINVAL;
  return arguments.environment().SubmitEntering(job, error);
}

napi_value ProbeTun(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  int fd = arguments.Integer(0);
  if (!arguments.ok()) return nullptr;
  return arguments.environment().Submit(new ProbeTunJob(fd), fd);
}

}  // namespace netkit
