// Loaded before a program's libraries (LD_PRELOAD), it puts the program's clock of the day off by as many seconds as the file LAB_CLOCK says (64 bits, the machine's order), from the moment it
// says so: a namespace shifts no such clock. The steady clock stays as it is. The kernel does not know of it, so what waits until a time of day is told the kernel's own.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t* off; // seconds; null until the file is mapped

__attribute__((constructor)) static void open_clock(void) {
  const char* path = getenv("LAB_CLOCK");
  const int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  void* mapped = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *off, PROT_READ, MAP_SHARED, file, 0);
  if (mapped == MAP_FAILED) {
    perror("LAB_CLOCK");
    _exit(126);
  }
  close(file);
  off = mapped;
}

static int64_t ahead(void) { return off ? *off : 0; }
static int is_of_the_day(clockid_t id) { return id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE; }

int clock_gettime(clockid_t id, struct timespec* at) {
  const long answer = syscall(SYS_clock_gettime, id, at);
  if (answer == 0 && is_of_the_day(id)) at->tv_sec += ahead();
  return (int)answer;
}

int gettimeofday(struct timeval* restrict at, void* restrict zone) {
  (void)zone;
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t* out) {
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}

int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t id, const struct timespec* until) {
  int (*next)(pthread_cond_t*, pthread_mutex_t*, clockid_t, const struct timespec*) = dlsym(RTLD_NEXT, "pthread_cond_clockwait");
  struct timespec at = *until;
  if (is_of_the_day(id)) at.tv_sec -= ahead();
  return next(condition, mutex, id, &at);
}

int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex, const struct timespec* until) {
  int (*next)(pthread_cond_t*, pthread_mutex_t*, const struct timespec*) = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
  struct timespec at = *until;
  if (at.tv_sec > 1000000000) at.tv_sec -= ahead(); // less would be a steady clock's, which a condition may have in place of the day's
  return next(condition, mutex, &at);
}
