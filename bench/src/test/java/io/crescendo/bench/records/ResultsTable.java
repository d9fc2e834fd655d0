package io.crescendo.bench.records;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Numbers quoted in the top-level README's section "Results" that no record holds. */
final class ResultsTable {
    /** A number that does not continue a word: 6,947 and 1.92 but not the 32 of float32. */
    private static final Pattern NUMBER = Pattern.compile("(?<![\\w.])\\d+(?:,\\d{3})*(?:\\.\\d+)?");

    private static final Pattern RECORD = Pattern.compile("^(?:\\./)?bench/records/([^/#]+)");

    private ResultsTable() {}

    /**
     * One sentence per fault.
     *
     * @param readme the README whose tables under "Results" are read
     * @param records the directory of all records
     */
    static List<String> faults(Path readme, Path records) throws IOException {
        List<String> faults = new ArrayList<>();
        String results = Markdown.section(Files.readString(readme), "Results")
                .map(Markdown.Section::body)
                .orElse("");
        List<String> rows = Markdown.tableRows(results);
        if (rows.isEmpty()) {
            // A section that was renamed would otherwise be free of faults.
            faults.add("no row of a table in the section 'Results' of " + readme.getFileName());
        }
        for (String row : rows) {
            Set<String> proven = new LinkedHashSet<>();
            int linked = 0;
            for (String link : Markdown.localLinks(row)) {
                Matcher record = RECORD.matcher(link);
                if (record.find()) {
                    linked++;
                    Path folder = records.resolve(record.group(1));
                    RecordFolder.text(folder)
                            .ifPresentOrElse(
                                    text -> proven.addAll(numbers(text)),
                                    () -> faults.add("no record " + record.group(1) + " for the row " + row));
                }
            }
            if (linked == 0) {
                faults.add("no link to bench/records/YYYY-MM-DD_name/ in the row " + row);
                continue;
            }
            for (String number : numbers(Markdown.withoutLinks(row, RECORD))) {
                if (!proven.contains(number)) {
                    faults.add(number + " is not in the README.md of the row's record: " + row);
                }
            }
        }
        return faults;
    }

    /** The numbers of a text, without the commas between thousands. */
    static Set<String> numbers(String text) {
        Set<String> numbers = new LinkedHashSet<>();
        Matcher matcher = NUMBER.matcher(text);
        while (matcher.find()) {
            numbers.add(matcher.group().replace(",", ""));
        }
        return numbers;
    }
}
