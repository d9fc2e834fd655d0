package io.crescendo.cli.config;

import java.util.Collection;
import java.util.List;
import java.util.Locale;

/** Finds what a user probably meant. */
public final class Suggestion {
    /** Letters that say which word was begun. */
    private static final int LEAST_BEGINNING = 3;

    private Suggestion() {}

    /** The end of a sentence: {@code "; did you mean 'x'?"}, or a full stop when nothing is near. */
    public static String didYouMean(String word, Collection<String> candidates) {
        String nearest = "";
        int least = Integer.MAX_VALUE;
        List<String> longer = candidates.stream()
                .filter(candidate -> candidate.toLowerCase(Locale.ROOT).startsWith(word.toLowerCase(Locale.ROOT)))
                .toList();
        if (word.replace("-", "").length() >= LEAST_BEGINNING && longer.size() == 1) {
            return "; did you mean '" + longer.get(0) + "'?"; // who stops half-way has made no slip
        }
        for (String candidate : candidates) {
            int distance = distance(word.toLowerCase(Locale.ROOT), candidate.toLowerCase(Locale.ROOT));
            if (distance < least) {
                least = distance;
                nearest = candidate;
            }
        }
        // With more than a third of the letters wrong a suggestion would be a guess; one slip is always forgiven.
        return least <= Math.max(1, nearest.length() / 3) ? "; did you mean '" + nearest + "'?" : ".";
    }

    /**
     * The fewest insertions, deletions, replacements and swaps of neighbours between two words (optimal string
     * alignment).
     */
    private static int distance(String from, String to) {
        int[][] least = new int[from.length() + 1][to.length() + 1];
        for (int i = 0; i <= from.length(); i++) {
            for (int j = 0; j <= to.length(); j++) {
                if (i == 0 || j == 0) {
                    least[i][j] = i + j;
                    continue;
                }
                boolean same = from.charAt(i - 1) == to.charAt(j - 1);
                int best =
                        Math.min(least[i - 1][j - 1] + (same ? 0 : 1), Math.min(least[i - 1][j], least[i][j - 1]) + 1);
                boolean swapped = i > 1
                        && j > 1
                        && from.charAt(i - 1) == to.charAt(j - 2)
                        && from.charAt(i - 2) == to.charAt(j - 1);
                least[i][j] = swapped ? Math.min(best, least[i - 2][j - 2] + 1) : best;
            }
        }
        return least[from.length()][to.length()];
    }
}
