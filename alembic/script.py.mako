<%!
    import sys

    def is_standard(line):
        """Whether an import is of the standard library's, and stands first."""
        return line.split()[1].partition(".")[0] in sys.stdlib_module_names

    def source(value):
        """Return ids as they are written."""
        return repr(value).replace("'", '"')

    def plain(code):
        """Leave out the two comments that Alembic puts around what it generates."""
        return "\n".join(line for line in code.splitlines() if not line.strip().startswith("# ### ")).strip()
%>\
<% note = context.get("notes", {}).get(up_revision) %>\
<% body = f"{upgrades or ''}{downgrades or ''}" %>\
<% lines = (imports or "").splitlines() %>\
<% standard = [line for line in lines if is_standard(line)] %>\
<% others = [line for line in lines if not is_standard(line)] %>\
"""${message.replace("\\", "\\\\").replace('"', '\\"')}

Revision ID: ${up_revision}
Revises:${" " if down_revision else ""}${down_revision | comma,n}
Create Date: ${create_date}
% if note and note.change:

Change: ${note.change}
% endif
"""

% for line in standard:
${line}
% endfor
% if standard:

% endif
% if "sa." in body or "op." not in body:
import sqlalchemy as sa
% endif
from alembic import op
% for line in others:
${line}
% endfor

revision = ${source(up_revision)}
down_revision = ${source(down_revision)}
branch_labels = ${source(branch_labels)}
depends_on = ${source(depends_on)}
% if note and note.is_after:
deploy = "after"  # running code may still use what goes here: first the code, then this
% endif
% for place in note.accepted if note else ():
# lint: allow changing-column-type: -x rewrite=${place} accepts it
% endfor


def upgrade() -> None:
    ${upgrades or "pass" | plain}


def downgrade() -> None:
    ${downgrades or "pass" | plain}
