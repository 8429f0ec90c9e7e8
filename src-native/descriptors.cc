#include "descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arguments.h"
#include "environment.h"
#include "functions.h"
#include "poller.h"

namespace netkit {

Descriptors::~Descriptors() { free(slots_); }

bool Descriptors::Grow(int fd) {
  if (fd < 0) return false;
  if (fd < size_) return true;
  // An open descriptor's number is bounded by the process's limit, so this is too.
  int size = size_ == 0 ? 64 : size_;
  while (size <= fd) size = size > INT_MAX / 2 ? INT_MAX : size * 2;
  Slot* slots = static_cast<Slot*>(realloc(slots_, static_cast<size_t>(size) * sizeof(Slot)));
  if (slots == nullptr) return false;
  memset(slots + size_, 0, static_cast<size_t>(size - size_) * sizeof(Slot));
  slots_ = slots;
  size_ = size;
  return true;
}

void Descriptors::Own(int fd) {
  if (!Grow(fd) || slots_[fd].owned) return;
  slots_[fd].owned = true;
  slots_[fd].error = 0;
  owned_++;
}

bool Descriptors::Disown(int fd) {
  if (!Owns(fd)) return false;
  slots_[fd].owned = false;
  slots_[fd].error = 0;
  owned_--;
  return true;
}

void Descriptors::CloseAll() {
  for (int fd = 0; fd < size_ && owned_ > 0; fd++) {
    if (Disown(fd)) close(fd);
  }
}

void Descriptors::AddUser(int fd) {
  if (Has(fd)) slots_[fd].users++;
}

void Descriptors::RemoveUser(int fd) {
  if (Has(fd) && slots_[fd].users > 0) slots_[fd].users--;
}

void Descriptors::KeepError(int fd, int error) {
  if (Owns(fd)) slots_[fd].error = error;
}

int Descriptors::TakeError(int fd) {
  if (!Owns(fd)) return 0;
  int error = slots_[fd].error;
  slots_[fd].error = 0;
  return error;
}

bool Descriptors::SetPoller(int fd, Poller* poller) {
  if (!Grow(fd)) return false;
  slots_[fd].poller = poller;
  return true;
}

namespace {

int Close(int fd) {
  // Linux has let go of the number also when close(2) was interrupted: never again.
  return close(fd) == 0 || errno == EINTR ? 0 : -errno;
}

class CloseJob : public NumberJob {
 public:
  explicit CloseJob(int fd) : fd_(fd) {}
  void Run() override { result_ = Close(fd_.Release()); }

 private:
  Descriptor fd_;
};

// Takes the descriptor out of the table, and libuv's hands off it.
bool LetGo(Environment& environment, int fd) {
  if (!environment.descriptors().Disown(fd)) return false;
  Poller* poller = environment.descriptors().poller(fd);
  if (poller != nullptr) poller->Close();
  return true;
}

}  // namespace

napi_value OwnDescriptor(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  int fd = arguments.Integer(0);
  if (!arguments.ok()) return nullptr;
  // A number that is not open now may be somebody else's descriptor later.
  if (fd >= 0 && fcntl(fd, F_GETFD) >= 0) arguments.environment().descriptors().Own(fd);
  return nullptr;
}

napi_value DisownDescriptor(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  int fd = arguments.Integer(0);
  if (!arguments.ok()) return nullptr;
  napi_value result = nullptr;
  napi_get_boolean(env, arguments.environment().descriptors().Disown(fd), &result);
  return result;
}

napi_value CloseDescriptor(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  int fd = arguments.Integer(0);
  if (!arguments.ok()) return nullptr;
  Environment& environment = arguments.environment();
  if (!LetGo(environment, fd)) return environment.Resolved(-EBADF);
  return environment.SubmitSlow(new CloseJob(fd), fd);
}

napi_value CloseDescriptorNow(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  int fd = arguments.Integer(0);
  if (!arguments.ok()) return nullptr;
  Environment& environment = arguments.environment();
  if (!LetGo(environment, fd)) return Number(env, -EBADF);
  if (!environment.descriptors().Used(fd)) return Number(env, Close(fd));
  // Work that was handed in would hit whatever gets the number next: the close goes behind it.
  environment.SubmitSlowUnheard(new CloseJob(fd), fd);
  return Number(env, 0);
}

napi_value OwnedDescriptors(napi_env env, napi_callback_info info) {
  Arguments<0> arguments(env, info);
  return Number(env, arguments.environment().descriptors().owned());
}

}  // namespace netkit
