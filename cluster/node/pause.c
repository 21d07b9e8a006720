// The first process of every pod: holds the pod's namespaces open, reaps orphans, leaves on a signal.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void leave(int signal) { _exit(0); }
static void reap(int signal) { while (waitpid(-1, 0, WNOHANG) > 0); }

int main(void) {
  struct sigaction leaving = {.sa_handler = leave}, reaping = {.sa_handler = reap, .sa_flags = SA_NOCLDSTOP};
  sigaction(SIGINT, &leaving, 0);
  sigaction(SIGTERM, &leaving, 0);
  sigaction(SIGCHLD, &reaping, 0);
  for (;;) pause();
}
