package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const initContainer = "init-container"

// mount is a folder or file of the agent's that a container sees.
type mount struct {
	From, To string
	ReadOnly bool
}

// containerSpec is what becomes a container: made by the agent, read by the process that becomes it.
type containerSpec struct {
	Root, Workspace  string // the image's file system; an empty folder that is there to be mounted on
	Hostname         string
	Files            map[string]string // of /etc
	Mounts           []mount
	ReadOnlyRoot     bool
	SwitchUser       bool // false where the kernel lets us be nobody else
	User, Group      int
	FsGroup          int // 0: none
	Command, Env     []string
	KeepCapabilities bool
}

// initContainerMain runs as the first process of new namespaces (mounts, processes, IPC, host name). It enters the pod's network namespace (descriptor 4), makes the
// file system that the specification (descriptor 3) asks for, gives up its rights and becomes the program. Go has other threads by now: what belongs to a thread and not to
// the process is set on this one alone, and it is this one that becomes the program.
func initContainerMain() error {
	runtime.LockOSThread()
	var spec containerSpec
	given := os.NewFile(3, "specification")
	if err := json.NewDecoder(given).Decode(&spec); err != nil {
		return fmt.Errorf("its specification: %w", err)
	}
	given.Close()
	if err := unix.Setns(4, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("the pod's network: %w", err)
	}
	unix.Close(4)
	if err := unix.Sethostname([]byte(spec.Hostname)); err != nil {
		return fmt.Errorf("the host name: %w", err)
	}
	if err := makeRoot(&spec); err != nil {
		return err
	}
	if err := giveUpRights(&spec); err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", spec.Command[0], syscall.Exec(spec.Command[0], spec.Command, spec.Env))
}

// makeRoot is what a container runtime does: the image, and in it what the pod mounts, /proc, a few devices and files of its own; and nothing else of the machine.
func makeRoot(spec *containerSpec) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mounts of its own: %w", err)
	}
	root := spec.Workspace
	if err := unix.Mount("root", root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size=16m"); err != nil {
		return fmt.Errorf("a root: %w", err)
	}
	if err := copyImage(spec.Root, root); err != nil {
		return err
	}
	for name, text := range spec.Files {
		if err := os.WriteFile(filepath.Join(root, "etc", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, device := range []string{"null", "zero", "full", "random", "urandom"} {
		if err := bind(mount{From: "/dev/" + device, To: "/dev/" + device}, root, 0); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(target, filepath.Join(root, "dev", name)); err != nil {
			return err
		}
	}
	proc := filepath.Join(root, "proc")
	if err := os.MkdirAll(proc, 0o555); err != nil {
		return err
	}
	if err := unix.Mount("proc", proc, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("/proc: %w", err)
	}
	for _, m := range spec.Mounts {
		if err := bind(m, root, unix.MS_NOSUID|unix.MS_NODEV); err != nil {
			return err
		}
	}
	if spec.ReadOnlyRoot {
		if err := unix.Mount("", root, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
			return fmt.Errorf("a root that is read-only: %w", err)
		}
	}
	if err := unix.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("a root of its own: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leaving the old root: %w", err)
	}
	return unix.Chdir("/")
}

// copyImage shows the folders of the image's first level read-only, but for those that are empty or small, which are copied: mounts may go into them.
func copyImage(image, root string) error {
	entries, err := os.ReadDir(image)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		from, to := filepath.Join(image, entry.Name()), "/"+entry.Name()
		switch entry.Name() {
		case "etc", "tmp", "var":
			if err := copyTree(from, filepath.Join(root, to)); err != nil {
				return err
			}
		default:
			if err := bind(mount{from, to, true}, root, unix.MS_NOSUID|unix.MS_NODEV); err != nil {
				return err
			}
		}
	}
	return nil
}

func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if entry.IsDir() {
			if err := os.MkdirAll(target, 0o755); err != nil {
				return err
			}
		} else {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if err := os.WriteFile(target, content, 0o644); err != nil {
				return err
			}
		}
		owner := info.Sys().(*syscall.Stat_t)
		if err := os.Lchown(target, int(owner.Uid), int(owner.Gid)); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EPERM) {
			return err
		}
		return os.Chmod(target, info.Mode()&(fs.ModePerm|fs.ModeSticky))
	})
}

func bind(m mount, root string, flags uintptr) error {
	info, err := os.Stat(m.From)
	if err != nil {
		return err
	}
	target := filepath.Join(root, m.To)
	if info.IsDir() {
		err = os.MkdirAll(target, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(target), 0o755); err == nil {
		var file *os.File
		if file, err = os.OpenFile(target, os.O_CREATE|os.O_WRONLY, 0o644); err == nil {
			file.Close()
		}
	}
	if err != nil {
		return fmt.Errorf("a place for %s: %w", m.To, err)
	}
	if err := unix.Mount(m.From, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting %s at %s: %w", m.From, m.To, err)
	}
	if !m.ReadOnly {
		return nil
	}
	if err := unix.Mount("", target, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|flags, ""); err != nil {
		return fmt.Errorf("making %s read-only: %w", m.To, err)
	}
	return nil
}

func giveUpRights(spec *containerSpec) error {
	if !spec.KeepCapabilities {
		for capability := uintptr(0); capability <= unix.CAP_LAST_CAP; capability++ {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
				return fmt.Errorf("giving up capabilities: %w", err)
			}
		}
	}
	if spec.SwitchUser {
		var groups []int
		if spec.FsGroup != 0 {
			groups = []int{spec.FsGroup}
		}
		if err := syscall.Setgroups(groups); err != nil {
			return fmt.Errorf("its groups: %w", err)
		}
		if err := syscall.Setgid(spec.Group); err != nil {
			return fmt.Errorf("its group: %w", err)
		}
		if err := syscall.Setuid(spec.User); err != nil {
			return fmt.Errorf("its user: %w", err)
		}
	}
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}
