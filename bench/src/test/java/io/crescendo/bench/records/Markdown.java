package io.crescendo.bench.records;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The little of Markdown that records are checked for. */
final class Markdown {
    private static final Pattern LINK = Pattern.compile("\\[([^\\]]*)\\]\\(([^)\\s]+)\\)");

    private Markdown() {}

    /** A heading of the second level and what follows it up to the next one. */
    record Section(String title, String body) {}

    static List<Section> sections(String text) {
        List<Section> sections = new ArrayList<>();
        StringBuilder body = new StringBuilder();
        String title = "";
        boolean code = false;
        for (String line : text.lines().toList()) {
            code ^= line.startsWith("```");
            if (!code && line.startsWith("## ")) {
                if (!title.isEmpty()) {
                    sections.add(new Section(title, body.toString()));
                }
                title = line.substring(3).strip();
                body.setLength(0);
            } else {
                body.append(line).append('\n');
            }
        }
        if (!title.isEmpty()) {
            sections.add(new Section(title, body.toString()));
        }
        return sections;
    }

    static Optional<Section> section(String text, String title) {
        return sections(text).stream().filter(s -> s.title().equals(title)).findFirst();
    }

    /** Targets of links to files, without fragments; links to the web and within the text are left out. */
    static List<String> localLinks(String text) {
        List<String> links = new ArrayList<>();
        Matcher matcher = LINK.matcher(text);
        while (matcher.find()) {
            String target = matcher.group(2).replaceFirst("#.*$", "");
            if (!target.isEmpty() && !target.matches("[a-z]+:.*")) {
                links.add(target);
            }
        }
        return links;
    }

    /** The text with each link replaced by what a reader sees of it, or by nothing if {@code drop} finds its target. */
    static String withoutLinks(String text, Pattern drop) {
        return LINK.matcher(text)
                .replaceAll(link -> drop.matcher(link.group(2)).find() ? "" : Matcher.quoteReplacement(link.group(1)));
    }

    /** Rows of the tables in a text, without their heads and rules. */
    static List<String> tableRows(String text) {
        List<String> lines = text.lines().map(String::strip).toList();
        List<String> rows = new ArrayList<>();
        boolean body = false;
        for (String line : lines) {
            if (!line.startsWith("|")) {
                body = false;
            } else if (line.matches("\\|[-:| ]+\\|")) {
                body = true;
            } else if (body) {
                rows.add(line);
            }
        }
        return rows;
    }
}
