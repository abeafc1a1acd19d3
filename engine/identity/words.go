// SPDX-License-Identifier: MPL-2.0

package identity

import (
	"crypto/sha256"
	_ "embed" // the two lists of words
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/preezm/preezm/peers/said"
)

// Lang is the language of a list of words.
type Lang string

// The lists there are: those of BIP-39, unchanged.
const (
	English Lang = "en"
	French  Lang = "fr"
)

// Langs are the languages in the order in which they are tried.
var Langs = []Lang{English, French}

// WordCount is how many words a master secret makes: 256 bits and a checksum
// of 8, in words of 11.
const WordCount = 24

const (
	wordBits   = 11
	listLength = 1 << wordBits
	// uniqueLetters are enough to tell a word of a list from all others: so
	// the lists were chosen.
	uniqueLetters = 4
	// maxTyped bounds a word as it is typed; the longest of the lists has 9.
	maxTyped = 32
	maxNear  = 3
)

// ErrLang: there is no list of words in that language.
var ErrLang = said.Error("words-lang", "there are word lists in English (en) and French (fr)")

// ErrChecksum: every word is on the list, but they are not the words of a
// secret.
var ErrChecksum = said.Error("words-checksum", "each word is on the list, but together they are not yours: one was read as another, or two changed places")

// WordCountError: that many words were typed, not [WordCount].
type WordCountError int

func (e WordCountError) Error() string { return e.Said().Text }

// Said gives the sentence its code.
func (e WordCountError) Said() said.Note {
	return said.As("word-count", "{typed} words were typed and {needed} are needed", "typed", strconv.Itoa(int(e)), "needed", strconv.Itoa(WordCount))
}

// WordError names a typed word that is on no list, and what may be meant.
type WordError struct {
	Number int    // counted from 1
	Word   string // as typed, cut and cleaned for a screen
	Lang   Lang   // the list that most of the other words are from
	Near   []string
}

func (e *WordError) Error() string { return e.Said().Text }

// Said gives the sentence its code.
func (e *WordError) Said() said.Note {
	number, word := strconv.Itoa(e.Number), strconv.Quote(e.Word)
	if len(e.Near) == 0 {
		return said.As("word-unknown", "word {number}, {word}, is not on the list", "number", number, "word", word)
	}
	return said.As("word-near", "word {number}, {word}, is not on the list: did you mean {near}?", "number", number, "word", word, "near", strings.Join(e.Near, ", "))
}

//go:embed words/english.txt
var englishText string

//go:embed words/french.txt
var frenchText string

// list is one language's words.
type list struct {
	words  []string       // as people write them, composed
	plain  []string       // without accents, as they are compared; sorted
	number map[string]int // of a plain word
}

// lists are made once, when words are first used: most runs use none.
var lists = sync.OnceValue(func() map[Lang]*list {
	all := map[Lang]*list{}
	for lang, text := range map[Lang]string{English: englishText, French: frenchText} {
		l := &list{number: make(map[string]int, listLength)}
		for i, w := range strings.Fields(text) {
			l.words = append(l.words, norm.NFC.String(w))
			l.plain = append(l.plain, plainWord(w))
			l.number[l.plain[i]] = i
		}
		all[lang] = l
	}
	return all
})

// ligatures are what Unicode does not take apart and keyboards make.
var ligatures = strings.NewReplacer("œ", "oe", "æ", "ae")

// plainWord is a word as it is compared: decomposed (NFKD), without accents,
// in lower case.
func plainWord(w string) string {
	w = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFKD.String(w))
	return ligatures.Replace(w)
}

// find gives the number of a plain word, which may be cut after its first
// four letters.
func (l *list) find(plain string) (int, bool) {
	if n, ok := l.number[plain]; ok {
		return n, true
	}
	if len(plain) < uniqueLetters {
		return 0, false
	}
	i := sort.SearchStrings(l.plain, plain)
	return i, i < len(l.plain) && strings.HasPrefix(l.plain[i], plain)
}

// WordsOf writes a master secret as 24 words. Nothing is stretched or added:
// the words are the secret.
func WordsOf(master [32]byte, lang Lang) ([]string, error) {
	l, ok := lists()[lang]
	if !ok {
		return nil, fmt.Errorf("%q: %w", string(lang), ErrLang)
	}
	sum := sha256.Sum256(master[:])
	bits := append(master[:], sum[0])
	words := make([]string, WordCount)
	for i := range words {
		n := 0
		for b := i * wordBits; b < (i+1)*wordBits; b++ {
			n = n<<1 | int(bits[b/8]>>(7-b%8)&1)
		}
		words[i] = l.words[n]
	}
	return words, nil
}

// MasterOf reads 24 typed words: with or without accents and capitals, whole
// or cut after four letters, in either language. The checksum misses one
// mistake in 256: confirm the secret by what it opens. The error is a
// [WordCountError], a [*WordError] or [ErrChecksum]; each is one sentence.
func MasterOf(words []string) ([32]byte, Lang, error) {
	var none [32]byte
	if len(words) != WordCount {
		return none, "", WordCountError(len(words))
	}
	plain := make([]string, len(words))
	for i, w := range words {
		if len(w) <= maxTyped {
			plain[i] = plainWord(w)
		}
	}
	// The language is the one that knows the most words, so that a mistake is
	// corrected from the right list. Some words are in both: all 24 may be,
	// and then the checksum chooses.
	var best Lang
	most, failed := -1, error(nil)
	for _, lang := range Langs {
		numbers, known := lists()[lang].findAll(plain)
		if known == WordCount {
			master, err := join(numbers)
			if err == nil {
				return master, lang, nil
			}
			failed = err
		}
		if known > most {
			best, most = lang, known
		}
	}
	if failed != nil {
		return none, best, failed
	}
	l := lists()[best]
	for i, w := range plain {
		if _, ok := l.find(w); !ok {
			return none, best, &WordError{Number: i + 1, Word: shown(words[i]), Lang: best, Near: l.near(w)}
		}
	}
	return none, best, ErrChecksum // not reached: some word was unknown
}

// IsWord tells whether typed is word number at (from 1) of a master secret, in
// any of the languages.
func IsWord(master [32]byte, at int, typed string) bool {
	if at < 1 || at > WordCount || len(typed) > maxTyped {
		return false
	}
	for _, lang := range Langs {
		l := lists()[lang]
		words, err := WordsOf(master, lang)
		if err != nil {
			return false
		}
		if n, ok := l.find(plainWord(strings.TrimSpace(typed))); ok && l.words[n] == words[at-1] {
			return true
		}
	}
	return false
}

func (l *list) findAll(plain []string) (numbers []int, known int) {
	numbers = make([]int, len(plain))
	for i, w := range plain {
		n, ok := l.find(w)
		if ok {
			known++
		}
		numbers[i] = n
	}
	return numbers, known
}

// join is the secret in the numbers of its words.
func join(numbers []int) ([32]byte, error) {
	var bits [33]byte
	for i, n := range numbers {
		for j := range wordBits {
			b := i*wordBits + j
			bits[b/8] |= byte(n>>(wordBits-1-j)&1) << (7 - b%8)
		}
	}
	master := [32]byte(bits[:32])
	if sum := sha256.Sum256(master[:]); sum[0] != bits[32] {
		return [32]byte{}, ErrChecksum
	}
	return master, nil
}

// near lists the words most like a mistyped one, nearest first.
func (l *list) near(plain string) []string {
	if plain == "" {
		return nil
	}
	best, found := 4, []string(nil) // further than three slips is no likeness
	for i, w := range l.plain {
		switch d := slips(plain, w); {
		case d < best:
			best, found = d, []string{l.words[i]}
		case d == best && d < 4 && len(found) < maxNear:
			found = append(found, l.words[i])
		}
	}
	return found
}

// slips counts letters changed, missing, added or swapped with the next.
func slips(a, b string) int {
	x, y := []rune(a), []rune(b)
	var before, above []int
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		before, above, row = above, row, make([]int, len(y)+1)
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			row[j+1] = min(above[j]+cost, above[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(y)]
}

// shown is a typed word as a message may quote it.
func shown(w string) string {
	r := []rune(strings.ToValidUTF8(w, "?"))
	if len(r) > maxTyped {
		r = append(r[:maxTyped], '…')
	}
	return string(r)
}

// SplitWords takes typed or pasted text apart: spaces, line ends, commas and
// numbers separate words. Where each number from 1 to 24 stands before a word,
// as on a printed sheet, those words are meant and in that order, whatever
// columns they stand in and whatever is written around them.
func SplitWords(text string) []string {
	var all []string
	var numbered [WordCount]string
	have, number := 0, 0
	for _, t := range tokens(text) {
		if n, err := strconv.Atoi(t); err == nil {
			number = n
			continue
		}
		all = append(all, t)
		if number >= 1 && number <= WordCount {
			if numbered[number-1] == "" {
				have++
			}
			numbered[number-1] = t // the last one: text around it may have numbers
		}
		number = 0
	}
	if have == WordCount {
		return numbered[:]
	}
	return all
}

// tokens are the runs of letters and the runs of digits of a text.
func tokens(text string) []string {
	var all []string
	start, kind := 0, 0
	for i, r := range text {
		k := 0
		switch {
		case unicode.IsLetter(r) || unicode.Is(unicode.M, r):
			k = 1
		case r >= '0' && r <= '9':
			k = 2
		}
		if k != kind {
			if kind != 0 {
				all = append(all, text[start:i])
			}
			start, kind = i, k
		}
	}
	if kind != 0 {
		all = append(all, text[start:])
	}
	return all
}
