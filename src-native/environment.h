// The addon's state in one environment: the main thread's, or a worker thread's.
#ifndef NETKIT_ENVIRONMENT_H_
#define NETKIT_ENVIRONMENT_H_

#include <node_api.h>
#include <uv.h>

#include "descriptors.h"
#include "job.h"
#include "work_thread.h"

namespace netkit {

class Poller;

// All members are for the loop's thread, but Complete().
class Environment {
 public:
  // Null, with a JavaScript exception pending, when it could not be made. It deletes itself with the environment.
  static Environment* Create(napi_env env);

  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  napi_env env() const { return env_; }
  uv_loop_t* loop() const { return loop_; }
  napi_async_context context() const { return context_; }
  Descriptors& descriptors() { return descriptors_; }
  const char* namespace_path() const { return work_thread_.namespace_path(); }

  // Hands a job in, and makes its promise. `fd`: an owned descriptor, not to be closed before the job is done; a job
  // with one that is not owned is refused with EBADF.
  napi_value Submit(Job* job, int fd = -1);
  // The same on a thread of the job's own.
  napi_value SubmitApart(Job* job);
  // Where the job belongs: on its own thread if it enters a namespace. `error` is that of SetNamespace().
  napi_value SubmitEntering(EnteringJob* job, int error);
  // Hands in a job that may take long and that no other has to wait for: closing, unmounting. `fd`: it starts when no
  // job uses that descriptor any more.
  napi_value SubmitSlow(Job* job, int fd = -1);
  // The same for a job whose result nobody waits for.
  void SubmitSlowUnheard(Job* job, int fd);
  // Answers for a job that cannot be started; `error` is a negated errno.
  napi_value SubmitRefused(Job* job, int error);
  // A promise that is resolved already.
  napi_value Resolved(int value);

  // The promise of a job that somebody else runs: the caller hands it to a thread, which calls Complete(). Null, with
  // an exception pending, when it could not be made: the job is gone then.
  napi_value Expect(Job* job);
  // Starts a job that runs until it is stopped, on a thread of its own.
  napi_value SubmitLong(LongJob* job);
  // Whether it keeps the process alive. For a job that SubmitLong() has started and that is not finished.
  void SetReferenced(LongJob* job, bool referenced);
  // From the job's thread: Notified() will be called on the loop's.
  void Notify(LongJob* job);
  // The descriptor is used by a thread: it is not closed before as many calls of the second as of the first.
  void UseDescriptor(int fd) { descriptors_.AddUser(fd); }
  void LeaveDescriptor(int fd) { Unused(fd); }

  // From any thread: the job is done.
  void Complete(Job* job);

  // Makes libuv start its thread pool now, in the namespace that this thread is in.
  int StartThreadPool();

  napi_value NewPoller(napi_value fd, napi_value callback);
  void AddPoller(Poller* poller);
  void RemovePoller(Poller* poller);
  // The loop will ask the pollers which of them was nudged.
  void WakeForNudges();
  // A handle or request of libuv's that the end has to wait for.
  void HandleOpened() { open_handles_++; }
  void HandleClosed();

  // Reports the exception that a callback threw, as Node.js does for its own callbacks.
  void ReportException();

 private:
  explicit Environment(napi_env env) : env_(env) {}
  ~Environment() = default;

  napi_status Prepare();
  napi_value MakePromise(Job* job);
  void Pend();
  void PushSlow(Job* job, int fd);
  void Unused(int fd);
  void Drain();
  void AnswerNudges();
  void AnswerNotices();
  void LongEnded(LongJob* job);
  static void LongMain(void* job);
  void Settle(Job* job);
  void Drop(Job* job);
  void Close(napi_async_cleanup_hook_handle hook);

  static napi_value TakeResolve(napi_env env, napi_callback_info info);

  napi_env env_;
  uv_loop_t* loop_ = nullptr;
  uv_async_t completion_ = {};
  uv_mutex_t mutex_ = {};
  JobList completed_;  // guarded by mutex_
  Descriptors descriptors_;
  WorkThread work_thread_;
  WorkThread slow_thread_;
  JobList blocked_;  // behind work that uses their descriptor
  EnteringThreads entering_threads_;
  LongJob* long_jobs_ = nullptr;
  bool notices_ = false;  // guarded by mutex_
  Poller* pollers_ = nullptr;
  Job* starting_ = nullptr;
  napi_async_context context_ = nullptr;
  napi_ref promise_ = nullptr;
  napi_ref executor_ = nullptr;
  napi_ref poller_class_ = nullptr;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  uint32_t pending_ = 0;
  uint32_t open_handles_ = 0;
  bool closing_ = false;
  bool pool_started_ = false;
  bool nudged_ = false;
};

}  // namespace netkit

#endif  // NETKIT_ENVIRONMENT_H_
