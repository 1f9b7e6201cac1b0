// The driver of step 6 in Go, with the standard library alone. `make bench`
// compares our driver with this one. It must pass the same checks, which
// `checker check PROGRAM 6` runs.
//
// Usage: peer [SOCKET] [ROOT]
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"
)

const longestBody = 1 << 20

func main() {
	socket, root := "/run/docker/plugins/peer.sock", "/var/lib/workshop/peer"
	switch args := os.Args[1:]; {
	case len(args) > 0 && args[0] == "--help":
		fmt.Println("usage: peer [SOCKET] [ROOT]")
		return
	case len(args) > 1:
		socket, root = args[0], args[1]
	case len(args) == 1:
		socket = args[0]
	}
	volumes, err := openVolumes(root)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := listen(socket)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on %s", socket)
	log.Fatal(http.Serve(listener, handler(volumes)))
}

// listen binds the socket. It replaces the socket of a killed plugin, but no other
// file.
func listen(socket string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		return nil, err
	}
	// Between the test of a stale socket and its removal, no other peer may bind it.
	folder, err := os.Open(filepath.Dir(socket))
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	if err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX); err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", socket)
	if errors.Is(err, syscall.EADDRINUSE) {
		client, dialed := net.Dial("unix", socket)
		if dialed == nil {
			client.Close()
			return nil, fmt.Errorf("a running plugin answers on %s", socket)
		}
		info, stated := os.Lstat(socket)
		if stated != nil || info.Mode()&fs.ModeSocket == 0 {
			return nil, fmt.Errorf("%s is no socket, so it stays", socket)
		}
		if !errors.Is(dialed, syscall.ECONNREFUSED) {
			return nil, dialed
		}
		if err := os.Remove(socket); err != nil {
			return nil, err
		}
		listener, err = net.Listen("unix", socket)
	}
	if err != nil {
		return nil, err
	}
	return listener, os.Chmod(socket, 0o600)
}

// The messages, in Docker's words.
type (
	createRequest struct {
		Name string
		Opts map[string]string
	}
	nameRequest struct{ Name string }

	errorReply      struct{ Err string }
	doneReply       struct{}
	implementsReply struct{ Implements []string }
	capabilityReply struct{ Capabilities scope }
	volumeReply     struct{ Volume volume }
	listReply       struct{ Volumes []listed }
	mountReply      struct{ Mountpoint string }

	scope  struct{ Scope string }
	listed struct{ Name, Mountpoint string }
	volume struct {
		Name       string
		Mountpoint string
		CreatedAt  string
		Status     map[string]string
	}
)

// badBody is a failure with a status that says: the request was not a valid call.
type badBody struct{ error }

func handler(v *volumes) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/Plugin.Activate", call(func(struct{}) (any, error) {
		return implementsReply{[]string{"VolumeDriver"}}, nil
	}))
	mux.HandleFunc("/VolumeDriver.Capabilities", call(func(struct{}) (any, error) {
		return capabilityReply{scope{"local"}}, nil
	}))
	mux.HandleFunc("/VolumeDriver.Create", call(func(r createRequest) (any, error) {
		return doneReply{}, v.create(r.Name, r.Opts)
	}))
	mux.HandleFunc("/VolumeDriver.Get", call(func(r nameRequest) (any, error) {
		it, err := v.get(r.Name)
		return volumeReply{it}, err
	}))
	mux.HandleFunc("/VolumeDriver.List", call(func(struct{}) (any, error) {
		all, err := v.list()
		return listReply{all}, err
	}))
	mux.HandleFunc("/VolumeDriver.Remove", call(func(r nameRequest) (any, error) {
		return doneReply{}, v.remove(r.Name)
	}))
	mux.HandleFunc("/VolumeDriver.Path", call(func(r nameRequest) (any, error) {
		it, err := v.get(r.Name)
		return mountReply{it.Mountpoint}, err
	}))
	mux.HandleFunc("/VolumeDriver.Mount", call(func(r nameRequest) (any, error) {
		mountpoint, err := v.mount(r.Name)
		return mountReply{mountpoint}, err
	}))
	mux.HandleFunc("/VolumeDriver.Unmount", call(func(r nameRequest) (any, error) {
		_, err := v.get(r.Name)
		return doneReply{}, err
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		reply(w, r, http.StatusNotFound, fmt.Errorf("no call is named %s", r.URL.Path))
	})
	return onlyCommon(mux)
}

// onlyCommon refuses each Connection header that no common client sends.
func onlyCommon(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, value := range r.Header.Values("Connection") {
			for _, word := range strings.Split(value, ",") {
				switch strings.ToLower(strings.TrimSpace(word)) {
				case "", "close", "keep-alive":
				default:
					reply(w, r, http.StatusBadRequest,
						fmt.Errorf("Connection: %s", word))
					return
				}
			}
		}
		next.ServeHTTP(w, r)
	})
}

// call decodes a request, lets act answer it, and encodes the answer.
func call[Request any](act func(Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			reply(w, r, http.StatusMethodNotAllowed,
				fmt.Errorf("Docker sends POST, not %s", r.Method))
			return
		}
		if r.ContentLength > longestBody {
			// The rest may never come, so nothing of it is read.
			w.Header().Set("Connection", "close")
			reply(w, r, http.StatusRequestEntityTooLarge,
				fmt.Errorf("a body of over %d bytes", longestBody))
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, longestBody))
		if err != nil {
			reply(w, r, http.StatusRequestEntityTooLarge, err)
			return
		}
		request, err := decode[Request](body)
		if err != nil {
			reply(w, r, http.StatusBadRequest, err)
			return
		}
		answer, err := act(request)
		if err != nil {
			// Podman takes every 200 for a success. For Get it needs a 200 even if
			// there is no such volume.
			status := http.StatusInternalServerError
			if r.URL.Path == "/VolumeDriver.Get" {
				status = http.StatusOK
			}
			reply(w, r, status, err)
			return
		}
		log.Printf("%s %s -> 200", r.Method, r.URL.Path)
		send(w, http.StatusOK, answer)
	}
}

// decode reads the arguments of a call that has some.
func decode[Request any](body []byte) (Request, error) {
	var request Request
	if _, none := any(request).(struct{}); none {
		return request, nil
	}
	// A missing field must not be taken for an empty value of the user's.
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return request, fmt.Errorf("the request's body: %w", err)
	}
	if _, there := fields["Name"]; !there {
		return request, errors.New("the request's body: no Name")
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return request, fmt.Errorf("the request's body: %w", err)
	}
	return request, nil
}

func reply(w http.ResponseWriter, r *http.Request, status int, err error) {
	why := excerpt(err.Error())
	log.Printf("%s %s -> %d %s", r.Method, excerpt(r.URL.Path), status, why)
	send(w, status, errorReply{"workshop: " + why})
}

// longestExcerpt is the length, in bytes, after which an excerpt ends.
const longestExcerpt = 400

// excerpt is the text in one line, without control characters, so that a client can
// fill neither a terminal nor a log.
func excerpt(text string) string {
	var short strings.Builder
	for _, c := range text {
		if short.Len() >= longestExcerpt {
			return short.String() + "…"
		}
		if unicode.IsPrint(c) {
			short.WriteRune(c)
		} else {
			short.WriteString(strings.Trim(strconv.QuoteRune(c), "'"))
		}
	}
	return short.String()
}

func send(w http.ResponseWriter, status int, answer any) {
	text, err := json.Marshal(answer)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// An error here means that the client has gone and needs no answer.
	_, _ = w.Write(text)
}

// volumes are folders in root: root/NAME/{volume.json,files/}. Names that
// begin with a dot are ours.
type volumes struct {
	root string
	lock *os.File

	mu    sync.Mutex
	freed *sync.Cond
	taken map[string]bool
}

var ours = []string{".new", ".removed", ".kept", ".unreadable"}

// openVolumes removes volumes that a crash has left incomplete.
func openVolumes(root string) (*volumes, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	if err := closeRoot(root); err != nil {
		return nil, err
	}
	for _, folder := range ours {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o755); err != nil {
			return nil, err
		}
	}
	lock, err := os.Open(root)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fmt.Errorf("another plugin has %s: %w", root, err)
	}
	for _, half := range ours[:2] {
		entries, err := os.ReadDir(filepath.Join(root, half))
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			if err := os.RemoveAll(filepath.Join(root, half, entry.Name())); err != nil {
				return nil, err
			}
		}
	}
	v := &volumes{root: root, lock: lock, taken: map[string]bool{}}
	v.freed = sync.NewCond(&v.mu)
	all, err := v.names()
	if err != nil {
		return nil, err
	}
	log.Printf("%d volumes in %s", len(all), root)
	return v, nil
}

// closeRoot closes root to other users, who could start a setuid program that a
// container has put into a volume. It refuses a folder with files of others, such as
// /tmp.
func closeRoot(root string) error {
	info, err := os.Stat(root)
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return err
	}
	if _, err := os.Stat(filepath.Join(root, ours[0])); err != nil {
		entries, err := os.ReadDir(root)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if entry.Name() != "lost+found" {
				return fmt.Errorf("%s is open to other users and holds files of others", root)
			}
		}
	}
	return os.Chmod(root, 0o700)
}

// claim waits until no other call changes this volume. Its result ends the claim.
func (v *volumes) claim(name string) func() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for v.taken[name] {
		v.freed.Wait()
	}
	v.taken[name] = true
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.taken, name)
		v.freed.Broadcast()
	}
}

func (v *volumes) create(name string, options map[string]string) error {
	if !isName(name) {
		return fmt.Errorf("%q is not a valid name: write %s", shown(name), nameRule)
	}
	settings, err := readSettings(options)
	if err != nil {
		return err
	}
	defer v.claim(name)()
	had, err := v.claimed(name)
	if err == nil {
		return same(name, had.settings.spelled(), settings.spelled())
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := os.Lstat(filepath.Join(v.root, name)); err == nil {
		return fmt.Errorf("%s is in the way: it is not a volume", name)
	}
	making, err := v.making(name)
	if err != nil {
		return err
	}
	if err := fill(making, settings); err != nil {
		return err
	}
	if err := os.Rename(making, filepath.Join(v.root, name)); err != nil {
		return err
	}
	return syncPath(v.root)
}

// making returns a folder for a new volume: an empty one, or the kept folder of an
// earlier volume with the same name.
func (v *volumes) making(name string) (string, error) {
	kept := filepath.Join(v.root, ".kept", name)
	if info, err := os.Lstat(filepath.Join(kept, "files")); err == nil && info.IsDir() {
		return kept, nil
	}
	making := filepath.Join(v.root, ".new", name)
	if err := os.RemoveAll(making); err != nil {
		return "", err
	}
	return making, os.Mkdir(making, 0o755)
}

func fill(folder string, settings settings) error {
	files := filepath.Join(folder, "files")
	if err := os.MkdirAll(files, 0o755); err != nil {
		return err
	}
	// Set the mode afterwards, because the umask would remove bits from the mode of
	// Mkdir.
	if err := syscall.Chmod(files, settings.mode); err != nil {
		return &fs.PathError{Op: "chmod", Path: files, Err: err}
	}
	if err := syncPath(files); err != nil {
		return err
	}
	state := filepath.Join(folder, "volume.json")
	if err := os.RemoveAll(state); err != nil {
		return err
	}
	text, err := json.Marshal(settings.spelled())
	if err != nil {
		return err
	}
	if err := writeFile(state, text); err != nil {
		return err
	}
	return syncPath(folder)
}

func writeFile(path string, text []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(text); err != nil {
		return err
	}
	return file.Sync()
}

func syncPath(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return file.Sync()
}

func (v *volumes) get(name string) (volume, error) {
	known, err := v.known(name)
	if err != nil {
		return volume{}, err
	}
	return volume{
		Name:       name,
		Mountpoint: v.files(name),
		CreatedAt:  known.created.UTC().Format(time.RFC3339),
		Status:     status(known.settings, v.files(name)),
	}, nil
}

// status returns the options with the mode and the owner that the directory has now,
// because Docker's copy-up and every container may change them.
func status(settings settings, files string) map[string]string {
	status := settings.spelled()
	delete(status, "mode")
	var has syscall.Stat_t
	if syscall.Lstat(files, &has) == nil {
		status["mode"] = fmt.Sprintf("%04o", has.Mode&0o7777)
		status["uid"] = strconv.FormatUint(uint64(has.Uid), 10)
		status["gid"] = strconv.FormatUint(uint64(has.Gid), 10)
	}
	return status
}

// list reads names only.
func (v *volumes) list() ([]listed, error) {
	names, err := v.names()
	if err != nil {
		return nil, err
	}
	all := make([]listed, 0, len(names))
	for _, name := range names {
		all = append(all, listed{name, v.files(name)})
	}
	return all, nil
}

func (v *volumes) mount(name string) (string, error) {
	if _, err := v.known(name); err != nil {
		return "", err
	}
	files := v.files(name)
	info, err := os.Lstat(files)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is no directory", files)
	}
	return files, nil
}

func (v *volumes) remove(name string) error {
	defer v.claim(name)()
	known, err := v.claimed(name)
	if err != nil {
		return err
	}
	folder := filepath.Join(v.root, name)
	if known.settings.keep {
		kept := filepath.Join(v.root, ".kept", name)
		if err := os.Rename(folder, kept); err != nil {
			return err
		}
		log.Printf("%s is gone, its files stay in %s", name, kept)
		return syncPath(v.root)
	}
	removed := filepath.Join(v.root, ".removed", name)
	if err := os.RemoveAll(removed); err != nil {
		return err
	}
	if err := os.Rename(folder, removed); err != nil {
		return err
	}
	if err := syncPath(v.root); err != nil {
		return err
	}
	if err := os.RemoveAll(removed); err != nil {
		log.Printf("%s is gone, %s is not: %v", name, removed, err)
	}
	return nil
}

func (v *volumes) files(name string) string {
	return filepath.Join(v.root, name, "files")
}

func (v *volumes) names() ([]string, error) {
	entries, err := os.ReadDir(v.root)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		if isName(entry.Name()) && entry.IsDir() && v.isVolume(entry.Name()) {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// isVolume tells a volume from an administrator's folder, which stays unchanged.
func (v *volumes) isVolume(name string) bool {
	folder := filepath.Join(v.root, name)
	if info, err := os.Lstat(folder); err != nil || !info.IsDir() {
		return false
	}
	_, err := os.Lstat(filepath.Join(folder, "volume.json"))
	return err == nil
}

// known returns the content of a volume's file. Reading needs no claim, because a
// rename publishes the complete file.
func (v *volumes) known(name string) (known, error) {
	it, err := v.read(name)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return it, err
	}
	defer v.claim(name)()
	return v.claimed(name)
}

// claimed is known for a caller that has claimed the name. It moves an unreadable
// volume aside.
func (v *volumes) claimed(name string) (known, error) {
	it, err := v.read(name)
	var system *fs.PathError
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.As(err, &system) {
		return it, err
	}
	now := time.Now().UTC().Format(time.RFC3339)
	// Within a second, the same name may be moved aside more than once.
	aside := filepath.Join(v.root, ".unreadable", now)
	for count := 2; ; count++ {
		if _, err := os.Lstat(filepath.Join(aside, name)); err != nil {
			break
		}
		aside = filepath.Join(v.root, ".unreadable", fmt.Sprintf("%s-%d", now, count))
	}
	if err := os.MkdirAll(aside, 0o755); err != nil {
		return it, err
	}
	if err := os.Rename(filepath.Join(v.root, name), filepath.Join(aside, name)); err != nil {
		return it, err
	}
	log.Printf("%s cannot be read (%v): it is in %s", name, err, aside)
	return it, noSuchVolume{name}
}

type known struct {
	settings settings
	created  time.Time
}

func (v *volumes) read(name string) (known, error) {
	if !isName(name) {
		return known{}, noSuchVolume{name}
	}
	folder := filepath.Join(v.root, name)
	file, err := os.OpenFile(filepath.Join(folder, "volume.json"),
		os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		if !v.isVolume(name) {
			return known{}, noSuchVolume{name}
		} else if errors.Is(err, syscall.ELOOP) {
			return known{}, errors.New("its file is a link")
		}
		return known{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return known{}, err
	}
	if !info.Mode().IsRegular() {
		return known{}, errors.New("it is not a file")
	}
	text, err := io.ReadAll(io.LimitReader(file, 64<<10))
	if err != nil {
		return known{}, err
	}
	var options map[string]string
	if err := json.Unmarshal(text, &options); err != nil {
		return known{}, err
	}
	settings, err := readSettings(options)
	return known{settings, info.ModTime()}, err
}

type noSuchVolume struct{ name string }

func (e noSuchVolume) Error() string        { return "no such volume: " + e.name }
func (e noSuchVolume) Is(target error) bool { return target == fs.ErrNotExist }

const nameRule = "2 to 255 of a-z A-Z 0-9 _ . -, with a letter or a digit first"

var nameExpr = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

func isName(name string) bool {
	return len(name) <= 255 && nameExpr.MatchString(name)
}

// settings has the values of all options of a volume.
type settings struct {
	mode uint32
	keep bool
}

// quotes helps users of Compose: YAML reads 0750 without quotes as a number.
const quotes = `in a YAML file, write it in quotes, as in "0750"`

func readSettings(options map[string]string) (settings, error) {
	s := settings{mode: 0o755}
	for key, value := range options {
		switch key {
		case "mode":
			mode, err := strconv.ParseUint(value, 8, 32)
			if err != nil || mode > 0o7777 {
				return s, fmt.Errorf("no option mode=%s: write octal digits, 7777 at most; %s",
					shown(value), quotes)
			}
			if mode&0o700 != 0o700 {
				return s, fmt.Errorf("no option mode=%s: its owner could not use the directory; %s",
					shown(value), quotes)
			}
			s.mode = uint32(mode)
		case "type":
			if value != "dir" {
				return s, fmt.Errorf("no option type=%s: write type=dir", shown(value))
			}
		case "keep":
			if value != "true" && value != "false" {
				return s, fmt.Errorf("no option keep=%s: write keep=true or false",
					shown(value))
			}
			s.keep = value == "true"
		default:
			return s, fmt.Errorf("no option %s: write keep or mode or type%s",
				shown(key), meant(key))
		}
	}
	return s, nil
}

// spelled returns all options in their canonical form.
func (s settings) spelled() map[string]string {
	return map[string]string{
		"type": "dir",
		"mode": fmt.Sprintf("%04o", s.mode),
		"keep": strconv.FormatBool(s.keep),
	}
}

// meant returns the option that has the same letters in any order.
func meant(key string) string {
	for _, option := range []string{"keep", "mode", "type"} {
		if len(key) == len(option) && strings.Trim(strings.ToLower(key), option) == "" {
			return ": did you mean " + option + "?"
		}
	}
	return ""
}

func same(name string, had, wanted map[string]string) error {
	for key, value := range had {
		if wanted[key] != value {
			return fmt.Errorf("%s exists with other options: %s=%s, not %s=%s",
				name, key, value, key, wanted[key])
		}
	}
	return nil
}

// shown returns the beginning of a user's text, on one line.
func shown(text string) string {
	runes := []rune(text)
	if len(runes) > 40 {
		return strings.Trim(strconv.Quote(string(runes[:40])), `"`) + "…"
	}
	return strings.Trim(strconv.Quote(text), `"`)
}
