// SPDX-License-Identifier: MPL-2.0

package identity

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
)

// vectors are those of BIP-39 for 256 bits.
var vectors = []struct{ entropy, words string }{
	{strings.Repeat("00", 32), strings.Repeat("abandon ", 23) + "art"},
	{strings.Repeat("7f", 32), "legal winner thank year wave sausage worth useful legal winner thank year wave sausage worth useful legal winner thank year wave sausage worth title"},
	{strings.Repeat("80", 32), "letter advice cage absurd amount doctor acoustic avoid letter advice cage absurd amount doctor acoustic avoid letter advice cage absurd amount doctor acoustic bless"},
	{strings.Repeat("ff", 32), strings.Repeat("zoo ", 23) + "vote"},
	{"3e141609b97933b66a060dcddc71fad1d91677db872031e85f4c015c5e7e8982", "dignity pass list indicate nasty swamp pool script soccer toe leaf photo multiply desk host tomato cradle drill spread actor shine dismiss champion exotic"},
	{"2c85efc7f24ee4573d2b81a6ec66cee209b2dcbd09d8eddc51e0215b0b68e416", "clutch control vehicle tonight unusual clog visa ice plunge glimpse recipe series open hour vintage deposit universe tip job dress radar refuse motion taste"},
	{"4fa1a8bc3e6d80ee1316050e862c1812031493212b7ec3f3bb1b08f168cabeef", "exile ask congress lamp submit jacket era scheme attend cousin alcohol catch course end lucky hurt sentence oven short ball bird grab wing top"},
	{"15da872c95a13dd738fbf50e427583ad61f18fd99f628c417a61cf8343c90419", "beyond stage sleep clip because twist token leaf atom beauty genius food business side grid unable middle armed observe pair crouch tonight away coconut"},
}

func master(t *testing.T, text string) [32]byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 32 {
		t.Fatal("bad vector")
	}
	return [32]byte(b)
}

// The checksums are those that BIP-39's implementations check its lists by.
func TestListsAreTheOfficialOnes(t *testing.T) {
	for lang, want := range map[string]uint32{englishText: 0xc1dbd296, frenchText: 0x3e56b216} {
		if got := crc32.ChecksumIEEE([]byte(lang)); got != want {
			t.Errorf("checksum %x, want %x", got, want)
		}
	}
	for lang, l := range lists() {
		if len(l.words) != listLength || len(l.number) != listLength || !slices.IsSorted(l.plain) {
			t.Errorf("%s: not %d different words in order", lang, listLength)
		}
		first := map[string]bool{}
		for _, w := range l.plain {
			first[w[:min(len(w), uniqueLetters)]] = true
		}
		if len(first) != listLength {
			t.Errorf("%s: four letters do not tell all words apart", lang)
		}
	}
}

func TestOfficialVectors(t *testing.T) {
	for _, v := range vectors {
		m := master(t, v.entropy)
		got, err := WordsOf(m, English)
		if err != nil || strings.Join(got, " ") != v.words {
			t.Errorf("%s: %v %v", v.entropy, got, err)
		}
		for _, lang := range Langs {
			words, err := WordsOf(m, lang)
			if err != nil {
				t.Fatal(err)
			}
			if back, found, err := MasterOf(words); back != m || found != lang || err != nil {
				t.Errorf("%s in %s: read as %q, %v", v.entropy, lang, found, err)
			}
			if lang == French {
				for i, w := range words {
					if w != lists()[French].words[lists()[English].number[got[i]]] {
						t.Errorf("word %d is not at the same place of both lists", i+1)
					}
				}
			}
		}
	}
	if _, err := WordsOf([32]byte{}, "de"); !errors.Is(err, ErrLang) {
		t.Errorf("a language without a list: %v", err)
	}
}

// A person types as the keyboard allows.
func TestTypedOtherwise(t *testing.T) {
	m := master(t, vectors[4].entropy)
	for _, lang := range Langs {
		words, err := WordsOf(m, lang)
		if err != nil {
			t.Fatal(err)
		}
		for name, change := range map[string]func(string) string{
			"capitals":   strings.ToUpper,
			"decomposed": norm.NFKD.String,
			"no accents": plainWord,
			"four letters": func(w string) string {
				r := []rune(w)
				return string(r[:min(4, len(r))])
			},
		} {
			typed := make([]string, len(words))
			for i, w := range words {
				typed[i] = change(w)
			}
			if got, _, err := MasterOf(typed); got != m || err != nil {
				t.Errorf("%s, %s: %v", lang, name, err)
			}
		}
	}
	sheet := "1. dignity  2. pass\n3) list, indicate;nasty\t" + strings.Join(strings.Fields(vectors[4].words)[5:], "\r\n")
	if got, _, err := MasterOf(SplitWords(sheet)); got != m || err != nil {
		t.Errorf("pasted from a sheet: %v", err)
	}
	// Columns are read down, though the text runs across.
	columns := "The 24 words, of 2026:\n"
	for i := range 8 {
		for c := range 3 {
			n := i + c*8
			columns += fmt.Sprintf("%4d  %-12s", n+1, strings.Fields(vectors[4].words)[n])
		}
		columns += "\n"
	}
	if got, _, err := MasterOf(SplitWords(columns)); got != m || err != nil {
		t.Errorf("pasted from three columns: %v", err)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	typed := func(lang Lang, change func([]string) []string) []string {
		w, err := WordsOf(master(t, vectors[5].entropy), lang)
		if err != nil {
			t.Fatal(err)
		}
		return change(w)
	}
	put := func(n int, s string) func([]string) []string {
		return func(w []string) []string { w[n-1] = s; return w }
	}
	for _, c := range []struct {
		words []string
		want  string
	}{
		{typed(English, put(7, "vissa")), `word 7, "vissa", is not on the list: did you mean visa?`},
		{typed(English, put(24, "tatse")), `word 24, "tatse", is not on the list: did you mean taste?`},
		{typed(French, put(2, "chvale")), `word 2, "chvale", is not on the list: did you mean cheval?`},
		{typed(English, put(3, "zzzzzzzzzzzz")), `word 3, "zzzzzzzzzzzz", is not on the list`},
		{typed(English, put(3, "")), `word 3, "", is not on the list`},
		{typed(English, put(1, strings.Repeat("x", 4000))), `word 1, "` + strings.Repeat("x", maxTyped) + `…", is not on the list`},
		{typed(English, put(1, "\x1b[31m\xff")), `word 1, "\x1b[31m?", is not on the list`},
		{typed(English, func(w []string) []string { return w[:23] }), "23 words were typed and 24 are needed"},
		{typed(English, put(1, "zoo")), ErrChecksum.Error()},
	} {
		_, _, err := MasterOf(c.words)
		if err == nil || err.Error() != c.want {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
}

// Words of both lists leave the choice to the checksum.
func TestWordsOfBothLists(t *testing.T) {
	var both []string
	for w := range lists()[English].number {
		if _, ok := lists()[French].number[w]; ok {
			both = append(both, w)
		}
	}
	slices.Sort(both)
	if len(both) < WordCount {
		t.Fatalf("%d words in both lists", len(both))
	}
	read := map[Lang]int{}
	typed := slices.Clone(both[:WordCount])
	for _, last := range both {
		typed[WordCount-1] = last
		m, lang, err := MasterOf(typed)
		if errors.Is(err, ErrChecksum) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		read[lang]++
		if back, err := WordsOf(m, lang); err != nil || plainWord(strings.Join(back, " ")) != strings.Join(typed, " ") {
			t.Errorf("%s reads back as %v, %v", typed, back, err)
		}
	}
	if read[English]+read[French] == 0 {
		t.Skip("no such words fit a checksum")
	}
}

func FuzzMasterOf(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.words)
	}
	f.Add(strings.Repeat("é ", 24))
	f.Fuzz(func(t *testing.T, text string) {
		for _, words := range [][]string{SplitWords(text), strings.Split(text, " ")} {
			m, lang, err := MasterOf(words)
			if err != nil {
				if strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 600 {
					t.Errorf("not one short line: %q", err)
				}
				continue
			}
			again, err := WordsOf(m, lang)
			if err != nil {
				t.Fatal(err)
			}
			if back, _, err := MasterOf(again); back != m || err != nil {
				t.Errorf("%q does not come back: %v", text, err)
			}
		}
	})
}
