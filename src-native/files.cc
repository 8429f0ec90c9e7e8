#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "arguments.h"
#include "environment.h"
#include "functions.h"

namespace netkit {

namespace {

// Taking a mount away waits for the kernel's other processors, for milliseconds at times.
class UnmountJob : public NumberJob {
 public:
  UnmountJob(const char* target, int flags, uint64_t device, uint64_t inode)
      : flags_(flags), device_(device), inode_(inode) {
    memcpy(target_, target, strnlen(target, sizeof(target_) - 1));
  }

  void Run() override {
    // Not stat(2): in a glibc of our time that is a symbol which older ones lack.
    struct statx seen;
    if (statx(AT_FDCWD, target_, AT_NO_AUTOMOUNT, STATX_INO, &seen) != 0) {
      result_ = -errno;
    } else if (makedev(seen.stx_dev_major, seen.stx_dev_minor) != device_ || seen.stx_ino != inode_) {
      result_ = -ESTALE;
    } else {
      result_ = umount2(target_, flags_) == 0 ? 0 : -errno;
    }
  }

 private:
  char target_[PATH_MAX] = {};
  const int flags_;
  const uint64_t device_;
  const uint64_t inode_;
};

}  // namespace

napi_value Mount(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  char source[PATH_MAX];
  char target[PATH_MAX];
  size_t source_length = arguments.String(0, source, sizeof(source));
  size_t target_length = arguments.String(1, target, sizeof(target));
  uint32_t flags = arguments.Unsigned(2);
  if (!arguments.ok()) return nullptr;
  if (source_length == sizeof(source) || target_length == sizeof(target)) return Number(env, -ENAMETOOLONG);
  return Number(env, mount(source, target, nullptr, flags, nullptr) == 0 ? 0 : -errno);
}

napi_value Unmount(napi_env env, napi_callback_info info) {
  Arguments<4> arguments(env, info);
  char target[PATH_MAX];
  size_t length = arguments.String(0, target, sizeof(target));
  int flags = arguments.Integer(1);
  uint64_t device = arguments.Size(2);
  uint64_t inode = arguments.Size(3);
  if (!arguments.ok()) return nullptr;
  Environment& environment = arguments.environment();
  if (length == sizeof(target)) return environment.Resolved(-ENAMETOOLONG);
  return environment.SubmitSlow(new UnmountJob(target, flags, device, inode));
}

napi_value LockFile(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  int fd = arguments.Integer(0);
  int operation = arguments.Integer(1);
  if (!arguments.ok()) return nullptr;
  int result;
  do {
    result = flock(fd, operation);
  } while (result != 0 && errno == EINTR);
  return Number(env, result == 0 ? 0 : -errno);
}

}  // namespace netkit
