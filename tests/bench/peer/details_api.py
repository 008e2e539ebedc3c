"""The specification's page by FastAPI and SQLAlchemy, as its own examples have it: joinedload of the destinations,
Path.stat for each file on a disk, counts by GROUP BY. And the download of a copy, as Starlette sends files.

    PEER_DATABASE=postgresql://... uvicorn details_api:app
"""

import os
from pathlib import Path

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse
from sqlalchemy import BigInteger, Boolean, Column, DateTime, ForeignKey, Integer, String, create_engine, func
from sqlalchemy.orm import declarative_base, joinedload, relationship, sessionmaker

engine = create_engine(os.environ["PEER_DATABASE"], pool_size=10, max_overflow=30)
Session = sessionmaker(engine)
Base = declarative_base()
app = FastAPI()


class Group(Base):
    __tablename__ = "groups"
    id = Column(Integer, primary_key=True)
    name = Column(String)


class Database(Base):
    __tablename__ = "databases"
    id = Column(Integer, primary_key=True)
    name, description, db_type, host = Column(String), Column(String), Column(String), Column(String)
    port = Column(Integer)
    username, database_name = Column(String), Column(String)
    is_active = Column(Boolean)
    created_at, last_backup_at = Column(DateTime(timezone=True)), Column(DateTime(timezone=True))
    group_id = Column(Integer, ForeignKey("groups.id"))
    group = relationship(Group)


class Schedule(Base):
    __tablename__ = "schedules"
    id = Column(Integer, primary_key=True)
    name, schedule_type, cron_expression = Column(String), Column(String), Column(String)
    database_id = Column(Integer)
    is_active = Column(Boolean)
    next_run_at = Column(DateTime(timezone=True))


class Backup(Base):
    __tablename__ = "backups"
    id = Column(Integer, primary_key=True)
    name, status, error_message = Column(String), Column(String), Column(String)
    database_id, schedule_id, duration_seconds = Column(Integer), Column(Integer), Column(Integer)
    storage_type, file_path, checksum = Column(String), Column(String), Column(String)
    file_size = Column(BigInteger)
    created_at, started_at, completed_at = (Column(DateTime(timezone=True)) for _ in range(3))
    destinations = relationship("BackupDestination", order_by="BackupDestination.priority")


class BackupDestination(Base):
    __tablename__ = "backup_destinations"
    id = Column(Integer, primary_key=True)
    backup_id = Column(Integer, ForeignKey("backups.id"))
    storage_type, storage_name, file_path, base_path = Column(String), Column(String), Column(String), Column(String)
    storage_config, checksum, status, error_message = Column(String), Column(String), Column(String), Column(String)
    file_size = Column(BigInteger)
    upload_started_at, upload_completed_at = Column(DateTime), Column(DateTime)
    upload_duration_seconds, priority = Column(Integer), Column(Integer)


def verify_backup_file(file_path, base_path):
    path = Path(base_path) / file_path
    try:
        size = path.stat().st_size
        return {"exists": True, "absolute_path": str(path), "file_size_on_disk": size,
                "is_accessible": os.access(path, os.R_OK), "error_message": None}  # fmt: skip
    except OSError as e:
        return {"exists": False, "absolute_path": str(path), "file_size_on_disk": None, "is_accessible": False,
                "error_message": str(e)}  # fmt: skip


def columns(row, *left_out):
    return {c.name: getattr(row, c.name) for c in row.__table__.columns if c.name not in left_out}


def show_destination(d):
    local = d.storage_type in ("local", "local_external") and d.status == "completed"
    return {**columns(d, "backup_id"), "file_info": verify_backup_file(d.file_path, d.base_path) if local else None}


def show_backup(b):
    first = b.destinations[0] if b.destinations else None
    return {**columns(b), "destinations": [show_destination(d) for d in b.destinations],
            "storage_type": b.storage_type or (first and first.storage_type),
            "file_path": b.file_path or (first and first.file_path),
            "file_size": b.file_size or (first and first.file_size)}  # fmt: skip


@app.get("/api/databases/{database_id}/details")
def details(database_id: int, limit: int = 10):
    with Session() as db:
        database = db.query(Database).options(joinedload(Database.group)).filter(Database.id == database_id).first()
        if database is None:
            raise HTTPException(404)
        counts = dict(db.query(Backup.status, func.count()).filter(Backup.database_id == database_id).group_by(Backup.status))
        size = db.query(func.sum(BackupDestination.file_size)).join(Backup, Backup.id == BackupDestination.backup_id).filter(
            Backup.database_id == database_id, BackupDestination.status == "completed").scalar()  # fmt: skip
        per_schedule = {}
        for schedule, status, n in db.query(Backup.schedule_id, Backup.status, func.count()).filter(
                Backup.database_id == database_id).group_by(Backup.schedule_id, Backup.status):  # fmt: skip
            per_schedule.setdefault(schedule, {})[status] = n
        schedules = db.query(Schedule).filter(Schedule.database_id == database_id).all()
        backups = (db.query(Backup).options(joinedload(Backup.destinations)).filter(Backup.database_id == database_id)
                   .order_by(Backup.id.desc()).limit(limit).all())  # fmt: skip
        return {
            "database": {**columns(database), "group": database.group and columns(database.group)},
            "statistics": {"total": sum(counts.values()), **counts, "total_size": int(size or 0)},
            "schedules": [{**columns(s), "statistics": per_schedule.get(s.id, {})} for s in schedules],
            "recent_backups": [show_backup(b) for b in backups],
        }


@app.get("/api/databases/{database_id}/details/without-statistics")
def details_without_statistics(database_id: int, limit: int = 10):
    with Session() as db:
        database = db.query(Database).options(joinedload(Database.group)).filter(Database.id == database_id).first()
        backups = (db.query(Backup).options(joinedload(Backup.destinations)).filter(Backup.database_id == database_id)
                   .order_by(Backup.id.desc()).limit(limit).all())  # fmt: skip
        return {"database": columns(database), "recent_backups": [show_backup(b) for b in backups]}


@app.get("/api/backups/{backup_id}/download")
def download(backup_id: int):
    with Session() as db:
        copy = db.query(BackupDestination).filter(BackupDestination.backup_id == backup_id).first()
        if copy is None:
            raise HTTPException(404)
        return FileResponse(Path(copy.base_path) / copy.file_path)
