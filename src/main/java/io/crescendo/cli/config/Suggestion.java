package io.crescendo.cli.config;

import java.util.Collection;
import java.util.Locale;

/** Finds what a user probably meant. */
public final class Suggestion {
    private Suggestion() {}

    /** The end of a sentence: {@code "; did you mean 'x'?"}, or a full stop when nothing is near. */
    public static String didYouMean(String word, Collection<String> candidates) {
        String nearest = "";
        int least = Integer.MAX_VALUE;
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

    /** The Levenshtein distance: the fewest insertions, deletions and replacements between two words. */
    private static int distance(String from, String to) {
        int[] row = new int[to.length() + 1];
        for (int column = 0; column <= to.length(); column++) {
            row[column] = column;
        }
        for (int line = 1; line <= from.length(); line++) {
            int diagonal = row[0];
            row[0] = line;
            for (int column = 1; column <= to.length(); column++) {
                int replaced = diagonal + (from.charAt(line - 1) == to.charAt(column - 1) ? 0 : 1);
                diagonal = row[column];
                row[column] = Math.min(replaced, Math.min(row[column - 1], row[column]) + 1);
            }
        }
        return row[to.length()];
    }
}
